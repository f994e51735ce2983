"""Reads the mappings and aliases that penstock.toml and the environment declare.

Rules: the command line goes before the environment, the environment before the file, the
file before code; a mapping is known by its source and function, and the later places stand back for
the earlier ones as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from penstock.cli.options import configuration
from penstock.errors import ConfigurationError
from penstock.mappings.model import Mapping
from penstock.options import Origin
from penstock.settings import parse_aliases
from penstock.sources import Alias

MAPPINGS: Final = "PENSTOCK_MAPPINGS"


def declared_mappings() -> list[Mapping]:
    """Give the mappings of the environment and of the file."""
    found: dict[tuple[str, object], Mapping] = {}
    for mapping in (*_from_environment(), *_from_file()):
        found.setdefault((mapping.parsed.identity, mapping.function), mapping)
    return list(found.values())


def declared_aliases(given: tuple[str, ...]) -> dict[str, Alias]:
    """Give the aliases of the command line (or its variable) and of the file."""
    file, table = configuration()
    told = table.get("aliases", {})
    if not isinstance(told, dict):
        raise _wrong("aliases", "a table of ARNs", str(file))
    found = parse_aliases(told, str(file))
    for text in given:
        arn, equals, meant = text.partition("=")
        source, _, endpoint = meant.partition("@")
        if not equals:
            raise _wrong("--source-alias", "ARN=SOURCE or ARN=SOURCE@URL", None)
        alias = {"source": source} | ({"endpoint": endpoint} if endpoint else {})
        found |= parse_aliases({arn: alias}, "--source-alias")
    return found


def _from_file() -> Iterator[Mapping]:
    file, table = configuration()
    yield from _mappings(table.get("mappings", []), "[[mappings]]", file)


def _from_environment() -> Iterator[Mapping]:
    text = os.environ.get(MAPPINGS)
    if not text:
        return
    try:
        listed = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{MAPPINGS} is not JSON: {error}", path=MAPPINGS) from None
    yield from _mappings(listed, MAPPINGS, None)


def _mappings(listed: Any, what: str, file: Path | None) -> Iterator[Mapping]:
    where = f"{what} in {file}" if file else what
    if not isinstance(listed, list):
        raise _wrong("mappings", "a list of tables", where)
    for place, each in enumerate(listed, start=1):
        if not isinstance(each, dict) or not isinstance(each.get("source"), str):
            raise _wrong("source", "the name of a source", f"{where}, number {place}")
        if not isinstance(each.get("function"), str):
            raise _wrong("function", "the name of a function", f"{where}, number {place}")
        options = {key.replace("-", "_"): value for key, value in each.items()}
        source, function = options.pop("source"), options.pop("function")
        origin = Origin(what=f"{where}, number {place}")
        yield Mapping(source, function, origin=origin, **options)


def _wrong(name: str, wanted: str, where: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"{name} must be {wanted}", code="PS102", path=name, where=where,
        hint='for example [[mappings]] with source = "stream:orders" and function = "orders"',
    )  # fmt: skip
