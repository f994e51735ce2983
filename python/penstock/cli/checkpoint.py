"""Shows what is saved for a mapping, and moves it.

Rules: a running engine makes the move itself, a stopped directory is changed here under its lock;
every move is in the audit trail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click

from penstock.cli import console
from penstock.cli.options import json_option, state_option
from penstock.cli.state import open_state
from penstock.errors import CheckpointError, ConfigurationError, MappingNotFound
from penstock.moves import exported
from penstock.wording import counted


@click.group()
def checkpoint() -> None:
    """Look at checkpoints, and move them; every move is recorded in audit.jsonl."""


@checkpoint.command()
@click.argument("mapping")
@json_option
@state_option
def show(mapping: str, as_json: bool, state: Path | None) -> None:
    """Show how far every shard of MAPPING is done.

    MAPPING is the mapping's id; while its engine runs, its function's name will do.
    """
    with open_state(state) as opened:
        found = opened.checkpoints(mapping)
    if not found["rows"]:
        raise _nothing_saved(mapping)
    if as_json:
        console.data_json(found)
        return
    for row in found["rows"]:
        for line in _lines(row):
            console.data(line)


@checkpoint.command("set")
@click.argument("mapping")
@click.argument("shard")
@click.argument("position")
@json_option
@state_option
def set_(mapping: str, shard: str, position: str, as_json: bool, state: Path | None) -> None:
    """Let SHARD of MAPPING be read from POSITION.

    POSITION is TRIM_HORIZON, LATEST, SHARD_END, a sequence number (reading goes on behind that
    record) or a moment like 2026-01-31T12:00:00Z. Records behind it come again, records before it
    do not; what runs at this moment may run once more.
    """
    command = {"op": "set", "shard": shard, "position": position}
    _tell(_moved(mapping, command, state), as_json=as_json)


@checkpoint.command()
@click.argument("mapping")
@click.argument("shard")
@json_option
@state_option
def skip(mapping: str, shard: str, as_json: bool, state: Path | None) -> None:
    """Let go of records of SHARD that were given up and wait for a destination.

    They count as dropped, and the audit trail names them. What is stuck is known to the engine
    that runs MAPPING, and to nobody else.
    """
    answer = _moved(mapping, {"op": "skip", "shard": shard}, state)
    if as_json:
        console.data_json(answer)
        return
    for each in answer["skipped"]:
        first, last = each["span"] or ("the final call of a window", "")
        console.data(f"lane {each['lane']}\t{counted(each['records'], 'record')}\t{first}\t{last}")
    if not answer["skipped"]:
        console.say("nothing waits for a destination; nothing was skipped")


@checkpoint.command()
@click.argument("mapping")
@click.option("--output", type=click.Path(path_type=Path), help="A new file; else stdout.")
@state_option
def export(mapping: str, output: Path | None, state: Path | None) -> None:
    """Write what is saved for MAPPING as a document that `import` reads."""
    with open_state(state) as opened:
        found = opened.checkpoints(mapping)
    if not found["rows"]:
        raise _nothing_saved(mapping)
    document = exported(found["mapping"], found["rows"])
    if output is None:
        console.data_json(document)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise CheckpointError(
            f"{output} cannot be written: {error.strerror or error}",
            code="PS304",
            hint="name a file that is not there yet",
        ) from error
    console.say(f"{counted(len(found['rows']), 'shard')} written to {output}")


@checkpoint.command("import")
@click.argument("mapping")
@click.argument("document", type=click.File("r", encoding="utf-8"))
@json_option
@state_option
def import_(mapping: str, document: TextIO, as_json: bool, state: Path | None) -> None:
    """Put what `export` wrote in place of what is saved for MAPPING; `-` reads stdin."""
    try:
        read = json.loads(document.read())
    except ValueError as error:
        raise ConfigurationError(f"the document is not JSON: {error}", path="DOCUMENT") from None
    _tell(_moved(mapping, {"op": "import", "document": read}, state), as_json=as_json)


def _moved(mapping: str, command: dict[str, Any], state: Path | None) -> dict[str, Any]:
    with open_state(state) as opened:
        return opened.move_checkpoints(mapping, command)


def _tell(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.data_json(answer)
        return
    for row in answer["moved"]:
        before = "nothing" if row["before"] is None else position_words(row["before"]["position"])
        console.data(
            f"{row['shard']}\t{before}\t{position_words(row['after']['position'])}\t"
            f"fence {row['after']['fence']}"
        )


def _nothing_saved(mapping: str) -> MappingNotFound:
    return MappingNotFound(
        f"nothing is saved for mapping {mapping}",
        hint="the plan that penstock run prints shows ids in brackets",
    )


def _lines(row: dict[str, Any]) -> Iterator[str]:
    saved = row["checkpoint"]
    if saved is None:
        yield f"{row['shard']}\tnothing saved\tfence {row['fence']}"
        return
    moment = datetime.fromtimestamp(row["saved_ms"] / 1000, UTC)
    yield (
        f"{row['shard']}\t{position_words(saved['position'])}\t"
        f"saved {moment:%Y-%m-%dT%H:%M:%SZ}\tfence {saved['fence']}"
    )
    for front in saved["fronts"]:
        yield (
            f"  lane {front['lane']}: {counted(front['records'], 'record')} from "
            f"{front['first']}, {counted(front['attempts'], 'attempt')} failed"
        )


def position_words(position: Any) -> str:
    """Say a position in words."""
    if position == "TrimHorizon":
        return "from the oldest record"
    if position == "ShardEnd":
        return "ended"
    if "AtTimestamp" in position:
        moment = datetime.fromtimestamp(position["AtTimestamp"] / 1000, UTC)
        return f"from {moment:%Y-%m-%dT%H:%M:%S.%fZ}"
    after = position["After"]
    if after.get("sub") is not None:
        return f"inside {after['sequence']}, its user record {after['sub']} done"
    return f"after {after['sequence']}"
