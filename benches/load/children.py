"""Measures child processes: `python -m benches.load.children [ROUNDS]` prints a table.

Two children beside one for a handler that computes, and what the parent pays to hand a batch over
beside pickling the same event into a pipe.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import penstock
from benches.load import rounds, rows
from benches.load.rows import Row
from penstock._bridge import Invocation, Outbox, Runtime

RECORDS = 8_000
BATCH = 100
COMPUTED_US = 50
HANDED_OVER = 1_000
SIZE = 1_024
REPEATS = 30
MEMORY_BYTES = 32 * 1024 * 1024

ROWS = (
    Row(
        name=f"two children beside one, {COMPUTED_US} µs of Python a record",
        of=lambda one: one["two"]["rate"] / one["one"]["rate"],
        least=1.7,
    ),
    Row(
        name="hand-over by the parent, µs a record of 1 KB",
        of=lambda one: one["hand"]["frame_us"],
        most=0.3,
    ),
    Row(
        name="a pickle (protocol 5) into a pipe, of that",
        of=lambda one: one["hand"]["pickle_us"] / one["hand"]["frame_us"],
        least=3,
    ),
    Row(name="records a second, two children", of=lambda one: one["two"]["rate"]),
    Row(name="seconds until two children are ready", of=lambda one: one["two"]["start_s"]),
    Row(name="MB in memory, a child", of=lambda one: one["two"]["child_mb"]),
)


def compute(event: dict[str, Any], _context: Any) -> None:
    """Take about as long a record as it says, in plain Python."""
    for _ in event["Records"]:
        total = 0
        for number in range(_loops()):
            total += number * number


def rate(children: int) -> dict[str, float]:
    """Give records a second, seconds to start, and MB of a child, with so many children."""
    app = penstock.App(
        state=":memory:", streams={"orders": 1}, pool="process", workers=children,
        silence=["PS801", "PS803"],
    )  # fmt: skip
    app.add(
        penstock.Mapping(
            "stream:orders",
            compute,
            batch_size=BATCH,
            parallelization_factor=2,
            starting_position="TRIM_HORIZON",
        )
    )
    began = time.perf_counter()
    with app.background() as engine:
        _until(lambda: all(child["state"] == "ready" for child in engine.children()))
        started = time.perf_counter() - began
        engine.pause("compute")
        engine.put("orders", [(f"k{n}", b"x") for n in range(RECORDS)])
        began = time.perf_counter()
        engine.resume("compute")
        _until(lambda: _succeeded(engine) == RECORDS)
        seconds = time.perf_counter() - began
        memory = [_resident(child["pid"]) for child in engine.children()]
    return {"rate": RECORDS / seconds, "start_s": started, "child_mb": statistics.median(memory)}


def hand_over() -> dict[str, float]:
    """Give CPU microseconds a record of 1 KB: a frame in shared memory, and a pickle in a pipe."""
    data = base64.b64encode(os.urandom(SIZE * 3 // 4)).decode()[:SIZE]
    runtime = Runtime(json.dumps({"state_dir": None, "workers": {"threads": 1}}).encode())
    try:
        invocation = _invocation(runtime, data)
        memory = os.memfd_create("bench", os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, MEMORY_BYTES)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        outbox = Outbox(memory, MEMORY_BYTES)
        frame = _cpu(lambda: outbox.write(invocation))
        event = invocation.event()
        with _drained_pipe() as pipe:
            pickled = _cpu(lambda: _send(pipe, event))
    finally:
        runtime.close(1.0)
    return {"frame_us": frame, "pickle_us": pickled}


def measure(count: int) -> list[dict[str, Any]]:
    """Run the rounds."""
    found = []
    for _ in range(count):
        rounds.wait_for_quiet()
        one = rounds.run("benches.load.children", "one")
        found.append({"one": one["one"], "two": one["two"], "hand": one["hand"]})
    return found


def table(count: int) -> str:
    """Give the lines in Markdown."""
    return rows.table(measure(count), ROWS)


def _invocation(runtime: Runtime, data: str) -> Invocation:
    entries = [{"key": f"key-{n}", "data": data, "hash_key": None} for n in range(HANDED_OVER)]
    for command in (
        {"op": "create", "name": "orders", "shards": 1},
        {"op": "put", "name": "orders", "records": entries},
    ):
        runtime.streams(json.dumps(command).encode())
    own = {
        "Source": "stream:orders",
        "RoleArn": "arn:aws:iam::123456789012:role/lambda-role",
        "Pool": "threads",
        "Region": "us-east-2",
    }
    document = {
        "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:orders",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": HANDED_OVER,
        "MaximumBatchingWindowInSeconds": 10,
        "Penstock": own,
    }
    runtime.add_mapping(json.dumps(document).encode())
    invocation = runtime.next_invocation("threads", 0, 20.0)
    if invocation is None or invocation.record_count != HANDED_OVER:
        raise SystemExit("the batch is not whole")
    return invocation


def _cpu(call: Callable[[], object]) -> float:
    call()
    began = time.thread_time()
    for _ in range(REPEATS):
        call()
    return (time.thread_time() - began) * 1e6 / REPEATS / HANDED_OVER


def _send(pipe: int, event: dict[str, Any]) -> None:
    view = memoryview(pickle.dumps(event, 5))
    while view:
        view = view[os.write(pipe, view) :]


class _drained_pipe:  # noqa: N801 -- a context manager, used as a function
    """A pipe whose other end another process empties, as a child would."""

    def __enter__(self) -> int:
        reader, self._writer = os.pipe()
        self._child = os.posix_spawn(
            "/bin/cat", ["cat"], {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reader, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            ],
        )  # fmt: skip
        os.close(reader)
        return self._writer

    def __exit__(self, *_: object) -> None:
        os.close(self._writer)
        os.waitpid(self._child, 0)


_CALIBRATED: list[int] = []


def _loops() -> int:
    if not _CALIBRATED:
        best = float("inf")
        for _ in range(50):
            began = time.perf_counter()
            total = 0
            for number in range(1_000):
                total += number * number
            best = min(best, time.perf_counter() - began)
        _CALIBRATED.append(max(1, round(COMPUTED_US * 1e-6 / best * 1_000)))
    return _CALIBRATED[0]


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not holds():
        if time.monotonic() > until:
            raise SystemExit("not within 120 s")
        time.sleep(0.002)


def _succeeded(engine: penstock.Engine) -> int:
    return int(engine.snapshot()["mappings"][0]["counters"]["succeeded"])


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Print the table, or one round as data."""
    argument = sys.argv[1] if len(sys.argv) > 1 else "7"
    if argument == "one":
        found = {"one": rate(1), "two": rate(2), "hand": hand_over()}
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(table(int(argument)) + "\n")


if __name__ == "__main__":
    main()
