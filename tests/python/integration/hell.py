"""Handlers that do what no handler should, chosen by what a record says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import penstock

_LOCK: Final = threading.Lock()
_SECONDS: Final = 60


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def raises(_: Any) -> Any:
    raise ValueError("no")


def raises_unspeakable(_: Any) -> Any:
    raise Unspeakable


def raises_keyboard_interrupt(_: Any) -> Any:
    raise KeyboardInterrupt


def exits(_: Any) -> Any:
    sys.exit(0)


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


def dies_with_success(_: Any) -> Any:
    os._exit(0)


def dies_of_a_segfault(_: Any) -> Any:
    ctypes.string_at(0)


def dies_killed(_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_aborted(_: Any) -> Any:
    os.abort()


def dies_of_the_stack(_: Any) -> Any:
    sys.setrecursionlimit(10**9)
    threading.stack_size(64 * 1024)
    _dig(0)


def sleeps(_: Any) -> Any:
    time.sleep(_SECONDS)


def holds_the_interpreter(_: Any) -> Any:
    ctypes.PyDLL(None).sleep(_SECONDS)


def waits_for_itself(_: Any) -> Any:
    with _LOCK:
        _LOCK.acquire()


def ignores_signals_and_sleeps(_: Any) -> Any:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(_SECONDS)


def closes_every_descriptor(_: Any) -> Any:
    os.closerange(0, 1024)


def writes_on_every_descriptor(_: Any) -> Any:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"rubbish" * 10)
        except OSError:
            continue


def closes_its_output(_: Any) -> Any:
    os.closerange(1, 3)


def changes_directory(_: Any) -> Any:
    os.chdir("/")


def patches_modules(_: Any) -> Any:
    time.time = lambda: 0.0
    json.dumps = json.loads  # type: ignore[assignment]
    logging.getLogger().handlers.clear()


def shouts(_: Any) -> Any:
    with contextlib.suppress(OSError):  # another may have closed it
        sys.stdout.write("x" * 1_000_000)


def leaves_a_thread(_: Any) -> Any:
    threading.Thread(target=time.sleep, args=(_SECONDS,)).start()


def changes_the_event(event: Any) -> Any:
    event["Records"].clear()


def forks_and_returns_twice(_: Any) -> Any:
    os.fork()


# Fail everywhere, and leave the process as it was.
FAIL: Final[tuple[Callable[[Any], Any], ...]] = (
    raises, raises_unspeakable, raises_keyboard_interrupt, exits, recurses, returns_bytes,
    returns_nan, returns_cycle, returns_generator, returns_coroutine, returns_too_much,
    returns_unknown_failures,
)  # fmt: skip
# Only a process of its own survives these.
DIE: Final[tuple[Callable[[Any], Any], ...]] = (
    dies_with_success, dies_of_a_segfault, dies_killed, dies_aborted, dies_of_the_stack,
    closes_every_descriptor, writes_on_every_descriptor, patches_modules,
)  # fmt: skip
HANG: Final[tuple[Callable[[Any], Any], ...]] = (
    sleeps, holds_the_interpreter, waits_for_itself, ignores_signals_and_sleeps,
)  # fmt: skip
# Bad manners that fail no batch.
LIVE: Final[tuple[Callable[[Any], Any], ...]] = (
    closes_its_output, changes_directory, shouts, leaves_a_thread, changes_the_event,
    forks_and_returns_twice,
)  # fmt: skip
ALL: Final = {each.__name__: each for each in (*FAIL, *DIE, *HANG, *LIVE)}


def handler(event: dict[str, Any], context: penstock.Context) -> Any:
    """Do what the first record that is not healthy says; note what was handled in a journal."""
    journal = Path(os.environ["HELL_JOURNAL"])
    records = [record["kinesis"] for record in event["Records"]]
    marks = [base64.b64decode(record["data"]).decode() for record in records]
    with journal.open("a") as file:
        file.write(f"C {os.getpid()} {len(marks)}\n")
    answer = None
    for mark in marks:
        if mark in ALL and answer is None:
            answer = ALL[mark](event)
    lines = [f"H {r['partitionKey']} {m}\n" for r, m in zip(records, marks, strict=True)]
    with journal.open("a") as file:
        file.write("".join(lines))
    return answer


def init_unless_broken() -> None:
    """Fail to start while there is such a file."""
    if Path(os.environ["HELL_BROKEN"]).exists():
        raise LookupError("no database here")


def lane_handler(event: dict[str, Any], context: penstock.Context) -> None:
    """Note which child ran which lane; a record may be the name of something harmful."""
    place = context.penstock
    marks = [base64.b64decode(each["kinesis"]["data"]).decode() for each in event["Records"]]
    with Path(os.environ["HELL_JOURNAL"]).open("a") as file:
        file.write(f"C {os.getpid()} {place.shard}/{place.lane}\n")
    for mark in marks:
        if mark in ALL:
            ALL[mark](event)
        time.sleep(0.002 * (place.lane % 3))
    with Path(os.environ["HELL_JOURNAL"]).open("a") as file:
        file.writelines(
            f"H {each['kinesis']['partitionKey']} {mark}\n"
            for each, mark in zip(event["Records"], marks, strict=True)
        )


def queue_handler(event: dict[str, Any], context: penstock.Context) -> Any:
    """Note messages as they came; a body may be the name of something harmful."""
    for record in event["Records"]:
        if record["body"] in ALL:
            ALL[record["body"]](event)
    with Path(os.environ["HELL_JOURNAL"]).open("a") as file:
        for record in event["Records"]:
            file.write(f"H {record['eventSource']} {record['body']}\n")


async def async_handler(event: dict[str, Any], context: penstock.Context) -> Any:
    """The same as a coroutine."""
    return handler(event, context)


def _dig(depth: int) -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(_dig)(depth + 1)
