"""Takes events through every file of the extension that is unsafe, to be watched by valgrind.

`python -m tests.python.memory.program WHAT`: `events` builds them, `frames` hands them over in
shared memory; `mistakes` are made on purpose, for the watch to see.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import mmap
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock._bridge import Inbox, Outbox
from tests.python.boundary.bench import filled, runtime, take

# Around the ends of slices and of machine words; empty, ASCII, Latin-1, and wider than that.
SIZES = (0, 1, 7, 8, 9, 63, 64, 65, 4_095, 4_096, 4_097)
KEYS = ("k", "key-0001", "schlüssel", "鍵", "🔑", "é" * 128, "k" * 256)
RECORDS = [(KEYS[number % len(KEYS)], b"x" * SIZES[number % len(SIZES)]) for number in range(1_100)]
MEMORY_BYTES = 8 << 20


def events() -> None:
    """Build one event on several threads at once, each between collections."""
    with runtime() as engine:
        placed = filled(engine, RECORDS)
        invocation = take(engine)
        made: list[dict[str, Any]] = []

        def build() -> None:
            for _ in range(2):
                made.append(invocation.event())
                gc.collect()

        threads = [threading.Thread(target=build) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.complete(invocation.mapping, invocation.id, "returned", None)
    assert len(made) == 6
    for event in made:
        tell(event)
        numbers = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
        assert numbers == [one["sequence_number"] for one in placed]
    assert gc.isenabled(), "the collector is as it was found"


def frames() -> None:
    """Send frames through shared memory and through a pipe, and damaged ones."""
    memory = os.memfd_create("watched", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, MEMORY_BYTES)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    outbox, inbox = Outbox(memory, MEMORY_BYTES), Inbox(memory, MEMORY_BYTES)
    with runtime() as engine:
        filled(engine, RECORDS)
        invocation = take(engine)
        length = outbox.write(invocation)
        assert length is not None
        event = inbox.read(length).event()
        assert event == invocation.event()
        tell(event)
        frame = outbox.encode(invocation)
        assert inbox.decode(frame).event() == event
        assert Outbox(memory, mmap.PAGESIZE).write(invocation) is None
        for end in (0, 1, 8, len(frame) // 2, len(frame) - 1):
            refused(inbox.decode, frame[:end])
        refused(inbox.read, MEMORY_BYTES + 1)
        refused(Inbox, memory, MEMORY_BYTES + 1)
        refused(Inbox, -1, 1)


def refused(call: Callable[..., object], *given: object) -> None:
    """Insist that a call is refused."""
    try:
        call(*given)
    except (ValueError, OSError):
        return
    raise AssertionError("it was taken")


def tell(event: dict[str, Any]) -> None:
    """Show every byte to the kernel: valgrind then says whether one was never written."""
    with Path(os.devnull).open("wb", buffering=0) as sink:
        sink.write(json.dumps(event, ensure_ascii=False).encode())


def mistakes() -> None:
    """Read one byte past a block, and tell the kernel bytes that nobody wrote."""
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    block = ctypes.c_void_p(library.malloc(64))
    with Path(os.devnull).open("wb", buffering=0) as sink:
        library.write(sink.fileno(), block, 64)
    ctypes.string_at(block, 65)


if __name__ == "__main__":
    {"events": events, "frames": frames, "mistakes": mistakes}[sys.argv[1]]()
