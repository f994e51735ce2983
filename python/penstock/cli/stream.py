"""Makes, lists, fills and follows embedded streams."""

from __future__ import annotations

import base64
import json
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import click

from penstock.cli import console
from penstock.cli.options import json_option, option, state_option
from penstock.cli.state import open_state
from penstock.errors import ConfigurationError
from penstock.streams import Record, Streams
from penstock.wording import counted

_PART: Final = 500
_WAIT_MS: Final = 200
_PAGE: Final = 1000


@click.group()
def stream() -> None:
    """Make, list, fill and follow embedded streams."""


@stream.command()
@click.argument("name")
@click.option("--shards", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@state_option
def create(name: str, shards: int, state: Path | None) -> None:
    """Make the stream NAME."""
    with open_state(state, create=True) as opened:
        opened.streams.create(name, shards)
    console.say(f"created stream {name} with {counted(shards, 'shard')}")


@stream.command("list")
@json_option
@state_option
def list_streams(as_json: bool, state: Path | None) -> None:
    """List the streams."""
    with open_state(state) as opened:
        streams = opened.streams.names()
    if as_json:
        console.data_json({"streams": streams})
        return
    for each in streams:
        console.data(f"{each['name']}\t{counted(len(each['shards']), 'shard')}")


@stream.command()
@click.argument("name")
@json_option
@state_option
def describe(name: str, as_json: bool, state: Path | None) -> None:
    """Describe the stream NAME and its shards."""
    with open_state(state) as opened:
        found = opened.streams.describe(name)
    if as_json:
        console.data_json(found)
        return
    console.data(f"{found['name']}\t{found['arn']}")
    for shard in found["shards"]:
        console.data("  " + _shard_line(shard))


@stream.command()
@click.argument("name")
@state_option
def delete(name: str, state: Path | None) -> None:
    """Delete the stream NAME and all its records."""
    with open_state(state) as opened:
        opened.streams.delete(name)
    console.say(f"deleted stream {name}")


@stream.command()
@click.argument("name")
@click.argument("records", nargs=-1)
@click.option("--file", type=click.File("r"), help="Read lines from this file; - is stdin.")
@click.option("--key", help="The partition key of every record.  [default: a new one each]")
@click.option("--key-field", help="Take the partition key from this field of JSON records.")
@json_option
@state_option
def put(
    name: str,
    records: tuple[str, ...],
    file: IO[str] | None,
    key: str | None,
    key_field: str | None,
    as_json: bool,
    state: Path | None,
) -> None:
    """Append RECORDS to the stream NAME; without any, lines of standard input."""
    if records and file is not None:
        raise click.UsageError("give records, or --file, not both")
    if key is not None and key_field is not None:
        raise click.UsageError("give --key or --key-field, not both")
    lines: Iterable[str] = records or (line.rstrip("\r\n") for line in file or sys.stdin)
    count = 0
    with open_state(state) as opened:
        for part in _parts(_keyed(lines, key, key_field)):
            placed = opened.streams.put(name, part)
            count += len(placed)
            if as_json:
                for each in placed:
                    console.data(json.dumps(each))
    console.say(f"put {counted(count, 'record')} into {name}")


@stream.command()
@click.argument("name")
@option(
    "--from",
    "start",
    type=click.Choice(["TRIM_HORIZON", "LATEST"]),
    default="LATEST",
    envvar="PENSTOCK_TAIL_FROM",
    help="Where to begin.",
)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for more.")
@click.option("--limit", type=click.IntRange(1), help="End after so many records.")
@json_option
@state_option
def tail(
    name: str, start: str, follow: bool, limit: int | None, as_json: bool, state: Path | None
) -> None:
    """Show the records of the stream NAME as they arrive."""
    with open_state(state) as opened:
        for shown, record in enumerate(_records(opened.streams, name, start, follow), start=1):
            _show(record, as_json)
            if shown == limit:
                return


def _shard_line(shard: dict[str, Any]) -> str:
    parents = ", ".join(shard.get("parents", ()))
    state = "closed" if shard.get("closed") else "open"
    return f"{shard['id']}\t{state}" + (f"\tfrom {parents}" if parents else "")


def _keyed(lines: Iterable[str], key: str | None, key_field: str | None) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if key_field is None:
            yield key or uuid.uuid4().hex, line
            continue
        try:
            yield str(json.loads(line)[key_field]), line
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"record {number} has no field {key_field!r}",
                path="--key-field",
                hint="each record must be a JSON object with that field",
            ) from None


def _parts(records: Iterator[Record]) -> Iterator[list[Record]]:
    part: list[Record] = []
    for record in records:
        part.append(record)
        if len(part) == _PART:
            yield part
            part = []
    if part:
        yield part


def _records(streams: Streams, name: str, start: str, follow: bool) -> Iterator[dict[str, Any]]:
    after: dict[str, str | None] = {}
    ended: set[str] = set()
    skipping = start == "LATEST"
    while True:
        moved = False
        for shard in (each["id"] for each in streams.describe(name)["shards"]):
            if shard in ended:
                continue
            page = streams.read(name, shard, after=after.get(shard), limit=_PAGE)
            for record in page["records"]:
                moved = True
                after[shard] = record["sequence_number"]
                if not skipping:
                    yield record | {"shard": shard}
            if page.get("ended") and not page["records"]:
                ended.add(shard)
        if not moved:
            if not follow and not skipping:
                return
            skipping = False
            time.sleep(_WAIT_MS / 1000)


def _show(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.data(json.dumps(record))
        return
    console.data(base64.b64decode(record["data"]).decode("utf-8", "backslashreplace"))
