"""Handlers that do what no handler should, chosen by what a record says."""

from __future__ import annotations

import asyncio
import base64
import ctypes
import math
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import penstock
from tests.python.integration import hell_async, hell_process

Harmful = Callable[[Any], Any]


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def raises(_: Any) -> Any:
    raise ValueError("no")


def raises_unspeakable(_: Any) -> Any:
    raise Unspeakable


def raises_a_megabyte(_: Any) -> Any:
    raise ValueError("x" * 1_000_000)


def raises_keyboard_interrupt(_: Any) -> Any:
    raise KeyboardInterrupt


def raises_stop_iteration(_: Any) -> Any:
    raise StopIteration


def raises_generator_exit(_: Any) -> Any:
    raise GeneratorExit


def raises_cancelled(_: Any) -> Any:
    raise asyncio.CancelledError


def raises_a_group(_: Any) -> Any:
    raise BaseExceptionGroup("several", [SystemExit(0), ValueError("no")])


def raises_in_a_chain_without_end(_: Any) -> Any:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def asks_for_too_much_memory(_: Any) -> Any:
    return bytearray(2**62)


def exits(_: Any) -> Any:
    raise SystemExit(0)


def recurses(_: Any) -> Any:
    return recurses(_)


def returns_bytes(_: Any) -> Any:
    return b"bytes"


def returns_nan(_: Any) -> Any:
    return {"value": math.nan}


def returns_cycle(_: Any) -> Any:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def returns_generator(_: Any) -> Any:
    return (n for n in range(3))


def returns_coroutine(_: Any) -> Any:
    return asyncio.sleep(0)


def returns_too_much(_: Any) -> Any:
    return "x" * 7_000_000


def returns_unknown_failures(_: Any) -> Any:
    return {"batchItemFailures": [{"itemIdentifier": "nobody"}]}


def returns_wrong_keys(_: Any) -> Any:
    return {"batchItemFailures": [{"identifier": 1}]}


def changes_the_event(event: Any) -> Any:
    event["Records"].clear()


def keeps_the_event(event: Any) -> Any:
    _KEPT.append(event)


def changes_directory(_: Any) -> Any:
    os.chdir("/")


def holds_the_interpreter_for_a_moment(_: Any) -> Any:
    ctypes.PyDLL(None).usleep(300_000)


_KEPT: Final[list[Any]] = []

# Fail everywhere, and leave the process as it was.
FAIL: Final[tuple[Harmful, ...]] = (
    raises, raises_unspeakable, raises_a_megabyte, raises_keyboard_interrupt,
    raises_stop_iteration, raises_generator_exit, raises_cancelled, raises_a_group,
    raises_in_a_chain_without_end, asks_for_too_much_memory, exits, recurses, returns_bytes,
    returns_nan, returns_cycle, returns_generator, returns_coroutine, returns_too_much,
    returns_unknown_failures, returns_wrong_keys,
)  # fmt: skip
# Bad manners that fail no batch, wherever it runs.
LIVE: Final[tuple[Harmful, ...]] = (
    changes_the_event, keeps_the_event, changes_directory, holds_the_interpreter_for_a_moment,
    hell_process.shouts, hell_process.leaves_a_thread,
)  # fmt: skip
# On a thread these are only slow: HELL_SECONDS says how slow.
SLOW: Final[tuple[Harmful, ...]] = (hell_process.sleeps, hell_process.waits_for_itself)

PLAIN: Final = {
    each.__name__: each
    for each in (*FAIL, *LIVE, *hell_process.DIE, *hell_process.HANG, *hell_process.LIVE)
}
AWAITED: Final = {
    each.__name__: each for each in (*hell_async.FAIL, *hell_async.HANG, *hell_async.LIVE)
}


def handler(event: dict[str, Any], context: penstock.Context) -> Any:
    """Do what the records say that are not healthy; note what was handled in a journal."""
    records = begun(event)
    answer = None
    for _, mark in records:
        if mark in PLAIN and answer is None:
            answer = PLAIN[mark](event)
    note("H", records)
    return answer


async def async_handler(event: dict[str, Any], context: penstock.Context) -> Any:
    """Do the same as a coroutine, which can do some things more."""
    records = begun(event)
    answer = None
    for _, mark in records:
        if mark in AWAITED:
            awaited: Coroutine[Any, Any, Any] = AWAITED[mark]()
            answer = await awaited
        elif mark in PLAIN and answer is None:
            answer = PLAIN[mark](event)
    note("H", records)
    return answer


def init_unless_broken() -> None:
    """Fail to start while there is such a file."""
    if Path(os.environ["HELL_BROKEN"]).exists():
        raise LookupError("no database here")


def lane_handler(event: dict[str, Any], context: penstock.Context) -> None:
    """Note which child ran which lane; a record may be the name of something harmful."""
    place = context.penstock
    records = told(event)
    note("C", [(str(os.getpid()), f"{place.shard}/{place.lane}")])
    for _, mark in records:
        if mark in PLAIN:
            PLAIN[mark](event)
        time.sleep(0.002 * (place.lane % 3))
    note("H", records)


def queue_handler(event: dict[str, Any], context: penstock.Context) -> Any:
    """Note messages as they came; a body may be the name of something harmful."""
    for record in event["Records"]:
        if record["body"] in PLAIN:
            PLAIN[record["body"]](event)
    note("H", [(record["eventSource"], record["body"]) for record in event["Records"]])


def begun(event: dict[str, Any]) -> list[tuple[str, str]]:
    """Note a call; give keys and marks of its records."""
    records = told(event)
    note("C", [(str(os.getpid()), str(len(records)))])
    return records


def told(event: dict[str, Any]) -> list[tuple[str, str]]:
    """Give keys and marks of an event's records."""
    records = [record["kinesis"] for record in event["Records"]]
    return [(r["partitionKey"], base64.b64decode(r["data"]).decode()) for r in records]


def note(kind: str, pairs: list[tuple[str, str]]) -> None:
    """Write lines to the journal, at once."""
    text = "".join(f"{kind} {first} {second}\n" for first, second in pairs)
    with Path(os.environ["HELL_JOURNAL"]).open("a") as file:
        file.write(text)
