"""Measures moments: from the socket to the handler, and how long we hold the interpreter.

`python -m benches.load.moments [ROUNDS]` prints a table. The first is of a process that has nothing
else to do: from before the last byte of an answer is sent to the handler's first line. The second
is of a process that drains at full speed while another thread asks for the interpreter: what counts
of its waits is the processor time that the worker spent in them. That the machine let one of the
two wait for a processor is not our hold, and on a busy machine would be most of what is measured.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from typing import Any, Self
from urllib.parse import urlsplit

import penstock
from benches.load import rounds, rows
from benches.load.meter import emit
from benches.load.rounds import Result
from benches.load.rows import Row
from tests.services.process import running

ANSWERS = 200
RECORDS, SIZE = 200_000, 1_024
# A thread that asks is heard after so long, at the next chance that we give.
ASKS_AFTER_S = 0.000_05
# A gap shorter than this is the asking thread's own work.
SEEN_NS = 50_000

ROWS = (
    Row(
        name="last byte on the socket to the handler, 100 records, µs: half within",
        of=lambda one: one["latency"]["half_us"],
        most=350,
    ),
    Row(
        name="the same: 99 of 100 within",
        of=lambda one: one["latency"]["most_us"],
        most=2_000,
    ),
    Row(
        name="longest hold of the interpreter in a batch of up to 6 MB, ms: half of the batches",
        of=lambda one: one["holds"]["half_ms"],
        most=2,
    ),
)


class RunQueue:
    """Tells how long this thread has waited for a processor, without letting the interpreter go."""

    def __enter__(self) -> Self:
        self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._text = ctypes.create_string_buffer(64)
        # `os.pread` would let it go in every call.
        self._read = ctypes.PyDLL(None).pread
        self._read.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def waited_ns(self) -> int:
        """Give nanoseconds since the thread began."""
        length = self._read(self._file, self._text, 64, 0)
        return int(self._text.raw[:length].split()[1])


def latency(url: str) -> Result:
    """Give the times from the last byte of an answer to its handler."""
    came: dict[str, int] = {}
    done = threading.Event()
    with tempfile.TemporaryDirectory() as state:
        app = penstock.App(state=state, endpoint=url, region="us-east-1")

        @app.on("kinesis:bench", starting_position="TRIM_HORIZON")
        def handler(event: dict[str, Any], _context: Any) -> None:
            now = time.monotonic_ns()
            came[event["Records"][0]["kinesis"]["partitionKey"]] = now
            if len(came) >= ANSWERS:
                done.set()

        with app.background():
            if not done.wait(60):
                raise SystemExit(f"only {len(came)} of {ANSWERS} answers came")
    took = sorted((now - at) / 1e3 for at, now in _pairs(url, came))
    return {"half_us": statistics.median(took), "most_us": took[len(took) * 99 // 100]}


def holds(url: str) -> Result:
    """Give the longest hold of the interpreter by the worker, by batch."""
    found: list[int] = []
    seen = longest = worker = 0
    done = threading.Event()
    with tempfile.TemporaryDirectory() as state:
        app = penstock.App(state=state, endpoint=url, region="us-east-1", workers=1)

        @app.on("kinesis:bench", batch_size=10_000, starting_position="TRIM_HORIZON")
        def handler(event: dict[str, Any], _context: Any) -> None:
            nonlocal longest, seen, worker
            worker = threading.get_ident()
            found.append(longest)
            longest = 0
            seen += len(event["Records"])
            if seen >= RECORDS:
                done.set()

        sys.setswitchinterval(ASKS_AFTER_S)
        with app.background():
            while not worker:
                time.sleep(0.001)
            with RunQueue() as queue:
                clock = time.pthread_getcpuclockid(worker)
                # Of three looks in a row, the waits for a processor around the middle one's hold.
                late = later = queue.waited_ns()
                spent = now = time.clock_gettime_ns(clock)
                while not done.is_set():
                    latest = queue.waited_ns()
                    longest = max(longest, now - spent - (latest - late))
                    late, later, spent = later, latest, now
                    now = time.clock_gettime_ns(clock)
    # The first batches are made while the program starts. Nothing is known of a batch in which the
    # thread that asks had to wait for a processor all the time.
    counted = [hold for hold in found[3:] if hold > SEEN_NS]
    half = statistics.median(counted or [max(found)])
    return {"half_ms": half / 1e6, "batches": len(counted)}


def table(count: int) -> str:
    """Give the lines in Markdown."""
    found = []
    for _ in range(count):
        rounds.wait_for_quiet()
        server = [sys.executable, "-m", "benches.load.slow_answers"]
        with running("slow answers", server) as child:
            port = child.fact(lambda fact: "port" in fact)["port"]
            url = f"http://127.0.0.1:{port}"
            one = {"latency": rounds.run("benches.load.moments", "latency", url)}
        with rounds.canned(RECORDS + 40_000, SIZE) as url:
            one["holds"] = rounds.run("benches.load.moments", "holds", url)
        found.append(one)
    return rows.table(found, ROWS)


def _pairs(url: str, came: dict[str, int]) -> list[tuple[int, int]]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    with closing(connection):
        connection.request("GET", "/sent")
        sent: dict[str, int] = json.loads(connection.getresponse().read())
    return [(sent[key], now) for key, now in came.items()]


def main() -> None:
    """Print the table, or what one process has found."""
    if len(sys.argv) > 2:
        emit({"latency": latency, "holds": holds}[sys.argv[1]](sys.argv[2]))
    else:
        sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 3) + "\n")


if __name__ == "__main__":
    main()
