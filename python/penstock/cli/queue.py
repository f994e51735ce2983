"""Makes, lists, fills and follows embedded queues."""

from __future__ import annotations

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
from penstock.queues import Message, Queues
from penstock.wording import counted

_PART: Final = 500
_WAIT_SECONDS: Final = 0.2
_FIFO: Final = ".fifo"


@click.group()
def queue() -> None:
    """Make, list, fill and follow embedded queues."""


@queue.command()
@click.argument("name")
@option("--visibility-timeout", metavar="DURATION", help="How long a received message is hidden.")
@option("--delay", metavar="DURATION", help="How long a new message is hidden.")
@option("--retention", metavar="DURATION", help="How long a message is kept.")
@option("--dead-letter-queue", metavar="QUEUE", help="Where messages go that fail too often.")
@option("--max-receive-count", type=int, help="How often a message is received before that.")
@option("--content-based-deduplication", is_flag=True, help="Know duplicates by their bodies.")
@state_option
def create(name: str, state: Path | None, **given: Any) -> None:
    """Make the queue NAME; a name that ends with .fifo makes a FIFO queue."""
    options: dict[str, Any] = {k: v for k, v in given.items() if v not in {None, False}}
    with open_state(state, create=True) as opened:
        opened.queues.create(name, options)
    console.say(f"created queue {name}")


@queue.command("list")
@json_option
@state_option
def list_queues(as_json: bool, state: Path | None) -> None:
    """List the queues."""
    with open_state(state) as opened:
        queues = opened.queues.names()
    if as_json:
        console.data_json({"queues": queues})
        return
    for each in queues:
        console.data(f"{each['name']}\t{_contents(each)}")


@queue.command()
@click.argument("name")
@json_option
@state_option
def describe(name: str, as_json: bool, state: Path | None) -> None:
    """Describe the queue NAME and what is in it."""
    with open_state(state) as opened:
        found = opened.queues.describe(name)
    if as_json:
        console.data_json(found)
        return
    console.data(f"{found['name']}\t{found['arn']}")
    console.data(f"  {_contents(found)}")
    console.data(f"  hidden for {found['visibility_timeout_s']} s after a receive")
    if found["redrive"]:
        target, count = found["redrive"]["dead_letter_queue"], found["redrive"]["max_receive_count"]
        console.data(f"  to {target} after {counted(count, 'receive')}")


@queue.command()
@click.argument("name")
@state_option
def delete(name: str, state: Path | None) -> None:
    """Delete the queue NAME and all its messages."""
    with open_state(state) as opened:
        opened.queues.delete(name)
    console.say(f"deleted queue {name}")


@queue.command()
@click.argument("name")
@click.argument("messages", nargs=-1)
@click.option("--file", type=click.File("r"), help="Read lines from this file; - is stdin.")
@click.option("--group", help="The message group of every message.")
@click.option("--group-field", help="Take the group from this field of JSON messages.")
@click.option("--delay", type=click.IntRange(0, 900), help="Hide them for so many seconds.")
@json_option
@state_option
def send(
    name: str,
    messages: tuple[str, ...],
    file: IO[str] | None,
    group: str | None,
    group_field: str | None,
    delay: int | None,
    as_json: bool,
    state: Path | None,
) -> None:
    """Send MESSAGES to the queue NAME; without any, lines of standard input."""
    if messages and file is not None:
        raise click.UsageError("give messages, or --file, not both")
    if group is not None and group_field is not None:
        raise click.UsageError("give --group or --group-field, not both")
    lines: Iterable[str] = messages or (line.rstrip("\r\n") for line in file or sys.stdin)
    count = 0
    with open_state(state) as opened:
        by_content = (
            name.endswith(_FIFO) and opened.queues.describe(name)["content_based_deduplication"]
        )
        made = _made(
            lines, group, group_field, delay, new_ids=name.endswith(_FIFO) and not by_content
        )
        for part in _parts(made):
            sent = opened.queues.send(name, part)
            count += len(sent)
            if as_json:
                for each in sent:
                    console.data(json.dumps(each))
    console.say(f"sent {counted(count, 'message')} to {name}")


@queue.command()
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
@click.option("--limit", type=click.IntRange(1), help="End after so many messages.")
@json_option
@state_option
def tail(
    name: str, start: str, follow: bool, limit: int | None, as_json: bool, state: Path | None
) -> None:
    """Show the messages of the queue NAME as they arrive, without receiving them."""
    with open_state(state) as opened:
        for shown, message in enumerate(_messages(opened.queues, name, start, follow), start=1):
            console.data(json.dumps(message) if as_json else message["body"])
            if shown == limit:
                return


def _contents(found: dict[str, Any]) -> str:
    return (
        f"{counted(found['visible'], 'message')}, {found['in_flight']:,} received, "
        f"{found['delayed']:,} delayed"
    )


def _made(
    lines: Iterable[str],
    group: str | None,
    group_field: str | None,
    delay: int | None,
    *,
    new_ids: bool,
) -> Iterator[Message]:
    for number, line in enumerate(lines, start=1):
        message: dict[str, Any] = {"MessageBody": line}
        if group_field is not None:
            message["MessageGroupId"] = _field(line, group_field, number)
        elif group is not None:
            message["MessageGroupId"] = group
        if delay is not None:
            message["DelaySeconds"] = delay
        if new_ids:
            message["MessageDeduplicationId"] = uuid.uuid4().hex
        yield message


def _field(line: str, name: str, number: int) -> str:
    try:
        return str(json.loads(line)[name])
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"message {number} has no field {name!r}",
            path="--group-field",
            hint="each message must be a JSON object with that field",
        ) from None


def _parts(messages: Iterator[Message]) -> Iterator[list[Message]]:
    part: list[Message] = []
    for message in messages:
        part.append(message)
        if len(part) == _PART:
            yield part
            part = []
    if part:
        yield part


def _messages(queues: Queues, name: str, start: str, follow: bool) -> Iterator[dict[str, Any]]:
    after, skipping = 0, start == "LATEST"
    while True:
        seen = queues.browse(name, after=after)
        for message in seen:
            after = message["number"]
            if not skipping:
                yield message
        if not seen:
            if not follow and not skipping:
                return
            skipping = False
            time.sleep(_WAIT_SECONDS)
