"""Reads the values of options: of the right type, or refused under the name that was written.

What values mean together (ranges, combinations) is checked once, in Rust.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from penstock.errors import ConfigurationError
from penstock.sources import parse_destination


def wrong(option: str, value: object, wanted: str, where: str | None) -> ConfigurationError:
    """Refuse a value, and say what it must be."""
    return ConfigurationError(
        f"{option} must be {wanted}, not {value!r}",
        code="PS102",
        path=option,
        where=where,
    )


def integer(value: object, option: str, where: str | None) -> int:
    """Read a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(option, value, "a whole number", where)
    return value


def fraction(value: object, option: str, where: str | None) -> float:
    """Read a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(option, value, "a number", where)
    return float(value)


def boolean(value: object, option: str, where: str | None) -> bool:
    """Read True or False."""
    if not isinstance(value, bool):
        raise wrong(option, value, "True or False", where)
    return value


def text(value: object, option: str, where: str | None) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise wrong(option, value, "text", where)
    return value


def one_of(*words: str) -> Callable[[object, str, str | None], str]:
    """Give the reader of an option that is one of some words."""

    def read(value: object, option: str, where: str | None) -> str:
        if not isinstance(value, str) or value not in words:
            raise wrong(option, value, "one of " + ", ".join(words), where)
        return value

    return read


def span(unit: Callable[..., int]) -> Callable[[object, str, str | None], int]:
    """Give the reader of an option that is a span of time, in the given unit."""

    def read(value: object, option: str, where: str | None) -> int:
        return unit(value, option=option, where=where)

    return read


def response_types(value: object, option: str, where: str | None) -> tuple[str, ...]:
    """Read the list of FunctionResponseTypes."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise wrong(option, value, 'a list such as ["ReportBatchItemFailures"]', where)
    return tuple(text(item, option, where) for item in value)


def timestamp(value: object, option: str, where: str | None) -> float:
    """Read a moment: seconds since 1970, ISO 8601 text or a datetime (UTC unless it says)."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise wrong(option, value, "a time such as 2026-01-31T12:00:00Z", where) from None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return fraction(value, option, where)


def destination(value: object, option: str, where: str | None) -> str:
    """Read where failure documents go."""
    return parse_destination(value, option=option, where=where)


def on_failure_of(value: object, option: str, where: str | None) -> object:
    """Read the destination out of a DestinationConfig; None where it names none."""
    wanted = '{"OnFailure": {"Destination": …}} and nothing else'
    if not isinstance(value, dict) or not set(value) <= {"OnFailure"}:
        raise wrong(option, value, wanted, where)
    inner = value.get("OnFailure", {})
    if not isinstance(inner, dict) or not set(inner) <= {"Destination"}:
        raise wrong(option, value, wanted, where)
    return inner.get("Destination")
