"""Compares ten lanes with one, for a handler that waits, and checks the order of every key.

`python -m benches.load.lanes` prints a table. Keys are spread evenly, and the stream is an embedded
one of one shard, in memory.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from typing import Any

import penstock
from benches.load import rows
from benches.load.rows import Row

RECORDS = 8_000
BATCH = 10
KEYS = 1_000
WAIT_S = 0.010
MUST = 9

ROWS = (
    Row(
        name="records a second of `ParallelizationFactor` 10, of those of 1",
        of=lambda one: one["ten"]["rate"] / one["one"]["rate"],
        least=MUST,
    ),
)


def run(lanes: int, records: int = RECORDS) -> float:
    """Give records a second with so many lanes."""
    last: dict[str, int] = defaultdict(lambda: -1)
    spans: list[float] = []
    app = penstock.App(state=":memory:", streams={"orders": 1}, workers=lanes)

    @app.on(
        "stream:orders",
        batch_size=BATCH,
        parallelization_factor=lanes,
        starting_position="TRIM_HORIZON",
    )
    def handler(event: dict[str, Any], _context: Any) -> None:
        spans.append(time.perf_counter())
        time.sleep(WAIT_S)
        for record in event["Records"]:
            key, number = record["kinesis"]["partitionKey"], record["kinesis"]["sequenceNumber"]
            if int(number) <= last[key]:
                raise AssertionError(f"key {key} went back")
            last[key] = int(number)
        spans.append(time.perf_counter())

    with app.background() as engine:
        engine.put("orders", [{"key": f"k{n % KEYS}", "data": b"x"} for n in range(records)])
        while not all(mapping["idle"] for mapping in engine.snapshot()["mappings"]):
            time.sleep(0.05)
        failed = engine.snapshot()["mappings"][0]["counters"]["failed"]
    if failed:
        raise SystemExit("a key went back")
    return records / (max(spans) - min(spans))


def table(count: int = 3) -> str:
    """Give the line in Markdown."""
    found = [
        {"ten": {"rate": run(10)}, "one": {"rate": run(1, RECORDS // 8)}} for _ in range(count)
    ]
    return rows.table(found, ROWS)


def main() -> None:
    """Print the table."""
    sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main()
