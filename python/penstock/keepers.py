"""Holds the user's own functions that failure documents are given to.

Rules: a function is called with one failure document, as Lambda writes it for a bucket: a dict
whose `payload` is the event's JSON text; it has taken the document when it returns, and has not
when it raises; two functions of one name are refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from penstock.errors import ConfigurationError, MappingConflict
from penstock.handlers import default_name, describe_handler

if TYPE_CHECKING:
    from penstock.mappings.model import Mapping

Keeper = Callable[[dict[str, Any]], object]
PREFIX = "function:"


def taken_from(options: dict[str, Any], where: str | None) -> tuple[dict[str, Any], Keeper | None]:
    """Replace a function given as `on_failure` by its name; give it too."""
    given = options.get("on_failure")
    if not callable(given):
        return options, None
    check_keeper(given, where=where)
    return options | {"on_failure": PREFIX + default_name(given)}, given


def check_keeper(keeper: object, *, where: str | None) -> None:
    """Refuse what cannot be called with one failure document."""
    if isinstance(keeper, type) or not callable(keeper):
        raise _unusable(f"{keeper!r} is not a function", where)
    label = describe_handler(keeper)
    if inspect.iscoroutinefunction(keeper) or inspect.isgeneratorfunction(keeper):
        raise _unusable(f"{label} is no plain function: calling it would run none of it", where)
    try:
        inspect.signature(keeper).bind(object())
    except TypeError:
        raise _unusable(f"{label} cannot be called with one document", where) from None
    except ValueError:
        return


def gathered(registered: dict[str, Keeper], mappings: Iterable[Mapping]) -> dict[str, Keeper]:
    """Give every function that a mapping's documents go to, by its name."""
    found = dict(registered)
    for mapping in mappings:
        if mapping.on_failure is None or not mapping.on_failure.startswith(PREFIX):
            continue
        name = mapping.on_failure.removeprefix(PREFIX)
        where = str(mapping.origin)
        if mapping.keeper is not None and found.setdefault(name, mapping.keeper) != mapping.keeper:
            raise MappingConflict(
                f"{describe_handler(found[name])} and {describe_handler(mapping.keeper)} are both "
                f"called {name}",
                where=where,
                hint="register one under another name: @app.destination(name=…)",
            )
        if name not in found:
            raise ConfigurationError(
                f"there is no function {name!r} for failure documents",
                code="PS106",
                path="on_failure",
                where=where,
                hint="functions: " + (", ".join(found) or "none; register one with "
                                      "@app.destination()"),
            )  # fmt: skip
    return found


def _unusable(message: str, where: str | None) -> ConfigurationError:
    return ConfigurationError(
        message,
        code="PS108",
        path="on_failure",
        where=where,
        hint="write def keep(document)",
    )
