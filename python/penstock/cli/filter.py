"""Tells whether a record passes a filter's pattern, and which field of it failed.

Rules: exit code 0 is a match, 1 none, 2 a pattern or record that is none; a record of an event is
decoded as for a mapping, any other object is matched as it stands.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from penstock import _bridge
from penstock.cli import console
from penstock.cli.options import json_option
from penstock.errors import ConfigurationError

_STDIN: Final = "-"


@click.group()
def filter() -> None:  # noqa: A001 -- the command's name
    """Try filters out."""


@filter.command("test")
@click.argument("pattern")
@click.argument("event")
@json_option
def test(pattern: str, event: str, as_json: bool) -> None:
    """Match EVENT against PATTERN: each a file, - for standard input, or JSON text.

    EVENT is a record, a whole event with Records (which matches when one of them does), or any
    other JSON object.
    """
    if pattern == _STDIN == event:
        raise click.UsageError("only one of PATTERN and EVENT can come from standard input")
    pattern_text = _text_of(pattern, "PATTERN")
    records = _records(_text_of(event, "EVENT"))
    results = [_result(pattern_text, record) for record in records]
    matched = any(result["matched"] for result in results)
    if as_json:
        console.data_json({"matched": matched, "records": results})
    else:
        for index, result in enumerate(results):
            place = f"record {index}: " if len(results) > 1 else ""
            text = "match" if result["matched"] else f"no match: {result['reason']}"
            console.data(place + text)
    if not matched:
        sys.exit(console.FAILED)


def _result(pattern: str, record: bytes) -> dict[str, Any]:
    try:
        matched, reason = _bridge.matches(pattern, record)
    except ConfigurationError as error:
        argument = {"Pattern": "PATTERN", "Record": "EVENT"}.get(error.path or "", "")
        raise ConfigurationError(
            f"{argument}: {error.message}", code="PS102", path=argument, hint=error.hint
        ) from None
    return {"matched": matched, "reason": reason}


def _text_of(argument: str, name: str) -> str:
    try:
        if argument == _STDIN:
            return sys.stdin.buffer.read().decode()
        if not argument.lstrip().startswith("{") and Path(argument).is_file():
            return Path(argument).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{name} cannot be read: {error}", code="PS102", path=name
        ) from None
    return argument


def _records(text: str) -> list[bytes]:
    try:
        value = json.loads(text)
    except ValueError:
        return [text.encode()]  # no record, as the extension will say
    records = value.get("Records") if isinstance(value, dict) else None
    if not isinstance(records, list) or not records:
        return [text.encode()]
    return [json.dumps(record).encode() for record in records]
