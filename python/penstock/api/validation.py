"""Checks a request of the mapping API against the generated table of members.

Rules: names, types, lengths, ranges, enumerations and patterns are those of the model that botocore
ships, and no others; unknown members are dropped and null is as good as absent, as AWS treats them;
every violation is told, in one sentence, in AWS's form.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from penstock.errors import Refusal
from penstock.refusals import SERIALIZATION, violations

# AWS prints the values of this enumeration in an order of its own.
_ORDERS: Final = {"EventSourcePosition": ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")}
_CATEGORIES: Final = re.compile(r"\(\[((?:\\p\{[LZN]\})+)([^\]]*)\]\*\)")
_SCALARS: Final = frozenset({"string", "integer", "boolean", "timestamp"})
_TYPE_WORDS: Final = {
    "string": "a String",
    "integer": "an Integer",
    "boolean": "a Boolean",
    "timestamp": "a Timestamp",
}


@cache
def table() -> dict[str, Any]:
    """Give the table of operations, members and shapes."""
    text = resources.files("penstock.api").joinpath("members.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def checked(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the members of a request that the operation knows, or refuse the request."""
    described = table()["operations"][operation]
    kept = {
        name: _pruned(request[name], shape)
        for name, shape in described["members"].items()
        if request.get(name) is not None
    }
    found = [
        f"Value null at '{camel(name)}' failed to satisfy constraint: Member must not be null"
        for name in described["required"]
        if name not in kept
    ]
    for name, shape in described["members"].items():
        if name in kept:
            found += _violations(kept[name], shape, camel(name))
    if found:
        raise violations(found)
    return kept


def camel(name: str) -> str:
    """Give a member's name as AWS's sentences have it."""
    return name[:1].lower() + name[1:]


def _pruned(value: Any, name: str) -> Any:
    """Check types and drop what the shape does not know."""
    shape = table()["shapes"][name]
    kind = shape["type"]
    if kind in _SCALARS:
        return _scalar(value, kind)
    if kind == "list":
        if not isinstance(value, list):
            raise _unconvertible(value, "a List")
        return [None if each is None else _pruned(each, shape["member"]) for each in value]
    if not isinstance(value, dict):
        raise _unconvertible(value, "a Map" if kind == "map" else "a Structure")
    if kind == "map":
        return {
            key: None if each is None else _pruned(each, shape["value"])
            for key, each in value.items()
        }
    return {
        member: _pruned(value[member], inner)
        for member, inner in shape["members"].items()
        if value.get(member) is not None
    }


def _scalar(value: Any, kind: str) -> Any:
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "timestamp": isinstance(value, int | float) and not isinstance(value, bool),
    }
    if not fits[kind]:
        raise _unconvertible(value, _TYPE_WORDS[kind])
    return value


def _unconvertible(value: Any, wanted: str) -> Refusal:
    if isinstance(value, dict):
        return Refusal("Start of structure or map found where not expected.", type=SERIALIZATION)
    if isinstance(value, list):
        return Refusal("Start of list found where not expected", type=SERIALIZATION)
    if isinstance(value, bool):
        found = "TRUE_VALUE" if value else "FALSE_VALUE"
    elif isinstance(value, int):
        found = "NUMBER_VALUE"
    elif isinstance(value, float):
        found = "DECIMAL_VALUE"
    else:
        found = "STRING_VALUE"
    return Refusal(f"{found} can not be converted to {wanted}", type=SERIALIZATION)


def _violations(value: Any, name: str, path: str) -> Iterator[str]:
    shape = table()["shapes"][name]
    for constraint in _broken(value, name):
        yield f"Value '{_shown(value)}' at '{path}' failed to satisfy constraint: {constraint}"
    kind = shape["type"]
    if kind == "structure":
        for member in shape["required"]:
            if member not in value:
                yield (
                    f"Value null at '{path}.{camel(member)}' failed to satisfy constraint: "
                    "Member must not be null"
                )
        for member, inner in shape["members"].items():
            if member in value:
                yield from _violations(value[member], inner, f"{path}.{camel(member)}")
    elif kind == "list":
        yield from _in_list(value, shape["member"], path)
    elif kind == "map":
        yield from _in_map(value, shape, path)


def _in_list(values: list[Any], name: str, path: str) -> Iterator[str]:
    """Items that are texts are judged together, at the list; structures each at its place."""
    if table()["shapes"][name]["type"] in _SCALARS:
        if any(each is None or any(_broken(each, name)) for each in values):
            yield _together(values, name, path)
        return
    for place, each in enumerate(values, start=1):
        at = f"{path}.{place}.member"
        if each is None:
            yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
        else:
            yield from _violations(each, name, at)


def _in_map(values: dict[str, Any], shape: dict[str, Any], path: str) -> Iterator[str]:
    if any(any(_broken(key, shape["key"])) for key in values):
        constraints = ", ".join([*_constraints(shape["key"]), "Member must not be null"])
        yield (
            f"Value '{_shown(values)}' at '{path}' failed to satisfy constraint: "
            f"Map keys must satisfy constraint: [{constraints}]"
        )
    inner = table()["shapes"][shape["value"]]
    for key, each in values.items():
        if each is None:
            at = f"{path}.{key}.member"
            yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
        elif inner["type"] == "list":
            yield from _violations(each, shape["value"], f"{path}.{key}.member")
        elif any(_broken(each, shape["value"])):
            constraints = ", ".join([*_constraints(shape["value"]), "Member must not be null"])
            yield (
                f"Value '{_shown(values)}' at '{path}' failed to satisfy constraint: "
                f"Map value must satisfy constraint: [{constraints}]"
            )


def _together(values: list[Any], name: str, path: str) -> str:
    constraints = ", ".join([*_constraints(name), "Member must not be null"])
    return (
        f"Value '{_shown(values)}' at '{path}' failed to satisfy constraint: "
        f"Member must satisfy constraint: [{constraints}]"
    )


def _constraints(name: str) -> Iterator[str]:
    """Give every constraint of a shape, in AWS's order and words."""
    shape = table()["shapes"][name]
    if "enum" in shape:
        values = ", ".join(_ORDERS.get(name, shape["enum"]))
        yield f"Member must satisfy enum value set: [{values}]"
        return
    what = "value" if shape["type"] == "integer" else "length"
    if "max" in shape:
        yield f"Member must have {what} less than or equal to {shape['max']}"
    if "min" in shape:
        yield f"Member must have {what} greater than or equal to {shape['min']}"
    if "pattern" in shape:
        yield f"Member must satisfy regular expression pattern: {shape['pattern']}"


def _broken(value: Any, name: str) -> Iterator[str]:
    """Give the constraints of a shape that a value breaks."""
    shape = table()["shapes"][name]
    size = value if shape["type"] == "integer" else None
    if shape["type"] in {"string", "list", "map"}:
        size = len(value)
    for constraint in _constraints(name):
        if constraint.startswith("Member must satisfy enum"):
            holds = value in shape["enum"]
        elif "less than" in constraint:
            holds = size is not None and size <= shape["max"]
        elif "greater than" in constraint:
            holds = size is not None and size >= shape["min"]
        else:
            holds = matches(shape["pattern"], value)
        if not holds:
            yield constraint


def matches(pattern: str, text: str) -> bool:
    """Whether a whole text matches a pattern of the model, which is Java's."""
    categories = _CATEGORIES.fullmatch(pattern)
    if categories is not None:
        wanted, others = set(re.findall(r"\\p\{(.)\}", categories[1])), categories[2]
        literal = others.replace("\\", "")
        return all(unicodedata.category(each)[0] in wanted or each in literal for each in text)
    return _compiled(pattern).fullmatch(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _shown(value: Any) -> str:
    """Print a value as Java does."""
    if isinstance(value, list):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_shown(each)}" for key, each in value.items()) + "}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
