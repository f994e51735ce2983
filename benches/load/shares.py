"""Measures how evenly mappings of one process share its workers, while all have a backlog.

`python -m benches.load.shares [ROUNDS]` prints a table: the mapping that was called least beside
the one that was called most, and the CPU of a record beside as few mappings as workers.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from typing import Any

import penstock
from benches.load import rounds, rows
from benches.load.meter import emit
from benches.load.rounds import Result
from benches.load.rows import Row

MAPPINGS = 200
WORKERS = 8
BATCH = 10
BATCHES = 40
ENDS_WITHIN_S = 120.0

ROWS = (
    Row(
        name=f"{MAPPINGS} mappings on {WORKERS} workers: least calls of a mapping, of the most",
        of=lambda one: one["many"]["share"],
        least=0.8,
    ),
    Row(
        name=f"CPU of a record with {MAPPINGS} mappings, of that with {WORKERS}",
        of=lambda one: one["many"]["cpu_us"] / one["few"]["cpu_us"],
    ),
)


def shares(mappings: int, batches: int = BATCHES) -> Result:
    """Let so many mappings work a backlog off, each of its own stream with as many records.

    The share is taken when three quarters of all calls were made: nobody can have run dry by then
    who had no more than its due.
    """
    names = [f"stream-{number}" for number in range(mappings)]
    app = penstock.App(
        state=":memory:", streams=dict.fromkeys(names, 1), workers=WORKERS, silence=["PS801"]
    )
    calls: list[str] = []
    begin, done = threading.Event(), threading.Event()
    records = mappings * batches * BATCH

    def handler(event: dict[str, Any], _context: Any) -> None:
        begin.wait()
        calls.append(event["Records"][0]["eventSourceARN"])
        if len(calls) * BATCH >= records:
            done.set()

    for name in names:
        app.on(f"stream:{name}", batch_size=BATCH, starting_position="TRIM_HORIZON")(handler)
    with app.background() as engine:
        for name in names:
            engine.put(name, [("key", b"x")] * (batches * BATCH))
        _until_read(engine)
        began = time.process_time()
        begin.set()
        if not done.wait(ENDS_WITHIN_S):
            raise SystemExit(f"only {len(calls)} calls within {ENDS_WITHIN_S} s")
        spent = time.process_time() - began
    counted = Counter(calls[: len(calls) * 3 // 4])
    return {
        "share": min(counted[name] for name in set(calls)) / max(counted.values()),
        "cpu_us": spent * 1e6 / records,
    }


def table(count: int) -> str:
    """Give the lines in Markdown."""
    found = []
    for _ in range(count):
        rounds.wait_for_quiet()
        found.append(
            {
                "many": rounds.run("benches.load.shares", "of", str(MAPPINGS), str(BATCHES)),
                "few": rounds.run(
                    "benches.load.shares", "of", str(WORKERS), str(MAPPINGS // WORKERS * BATCHES)
                ),
            }
        )
    return rows.table(found, ROWS)


def _until_read(engine: penstock.Engine) -> None:
    """Wait until every mapping has records to run."""
    until = time.monotonic() + ENDS_WITHIN_S
    while True:
        counters = [mapping["counters"] for mapping in engine.snapshot()["mappings"]]
        if all(one["polled"] for one in counters):
            return
        if time.monotonic() > until:
            raise SystemExit(f"not every mapping was read within {ENDS_WITHIN_S} s")
        time.sleep(0.05)


def main() -> None:
    """Print the table, or what one process has found."""
    if len(sys.argv) > 3:
        emit(shares(int(sys.argv[2]), int(sys.argv[3])))
    else:
        sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 3) + "\n")


if __name__ == "__main__":
    main()
