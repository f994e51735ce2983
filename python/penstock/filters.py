"""Reads filters as people write them: patterns as dicts or JSON text, or AWS's FilterCriteria.

Rules: a pattern given as text stays as it is written, repeated keys and all; what a pattern may say
is checked once, in Rust.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from penstock.errors import ConfigurationError

_WANTED: Final = 'a list of patterns (dicts or JSON text), or {"Filters": [{"Pattern": "…"}]}'


def read(value: object, option: str, where: str | None) -> tuple[str, ...]:
    """Give the text of each pattern."""
    if isinstance(value, str):
        return _from_text(value, option, where)
    if isinstance(value, dict):
        if set(value) != {"Filters"}:
            raise _wrong(value, option, where)
        value = value["Filters"] or []
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _wrong(value, option, where)
    return tuple(_pattern(item, option, where) for item in value)


def criteria(patterns: tuple[str, ...]) -> dict[str, Any]:
    """Give patterns in AWS's shape."""
    return {"Filters": [{"Pattern": pattern} for pattern in patterns]}


def _from_text(text: str, option: str, where: str | None) -> tuple[str, ...]:
    try:
        value = json.loads(text)
    except ValueError:
        return (text,)  # no pattern either, as Rust will say
    if isinstance(value, list) or (isinstance(value, dict) and set(value) == {"Filters"}):
        return read(value, option, where)
    return (text,)


def _pattern(item: object, option: str, where: str | None) -> str:
    if isinstance(item, dict) and set(item) == {"Pattern"} and isinstance(item["Pattern"], str):
        item = item["Pattern"]
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        raise _wrong(item, option, where)
    try:
        return json.dumps(item, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{option}: a pattern cannot be written as JSON: {error}",
            code="PS102",
            path=option,
            where=where,
        ) from None


def _wrong(value: object, option: str, where: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"{option} must be {_WANTED}, not {value!r}", code="PS102", path=option, where=where
    )
