"""Measures what shards without records cost: CPU an empty poll, and memory.

`python -m benches.load.idle [ROUNDS]` prints a table. A canned Kinesis stream is read from its end;
the server says how many polls it has answered. What the process costs anyway is told apart by
setting many shards against few.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import penstock
from benches.load import rounds, rows
from benches.load.meter import emit
from benches.load.rounds import Result
from benches.load.rows import Row

FEW, MANY = 100, 1_000
COUNTED_S = 4.0
STARTS_WITHIN_S = 60.0

ROWS = (
    Row(
        name=f"CPU of an empty poll, µs, {MANY:,} idle shards",
        of=lambda one: one["many"]["cpu_us"] / one["many"]["polls"],
        most=60,
    ),
    Row(
        name=f"one poll more, of {MANY:,} shards, beside one of {FEW}",
        of=lambda one: _added(one, "cpu_us", "polls") / _each(one["few"]),
        most=1.2,
    ),
    Row(
        name="memory of an idle shard, KiB",
        of=lambda one: _added(one, "resident_kib", "shards"),
        most=50,
    ),
)


def idle(url: str, shards: int) -> Result:
    """Read so many shards from their end; say what that cost for a while."""
    with tempfile.TemporaryDirectory() as state:
        app = penstock.App(state=state, endpoint=url, region="us-east-1", workers=1)

        @app.on("kinesis:bench", starting_position="LATEST")
        def handler(_event: dict[str, Any], _context: Any) -> None:
            raise AssertionError("there is nothing to handle")

        with app.background():
            until = time.monotonic() + STARTS_WITHIN_S
            while polls(url) < 3 * shards:
                if time.monotonic() > until:
                    raise SystemExit(f"only {polls(url)} polls of {shards} shards")
                time.sleep(0.5)
            before, began = polls(url), time.process_time()
            time.sleep(COUNTED_S)
            spent, after = time.process_time() - began, polls(url)
            return {
                "shards": shards,
                "polls": after - before,
                "cpu_us": spent * 1e6,
                "resident_kib": resident_kib(),
            }


def polls(url: str) -> int:
    """Ask the server how many reads it has answered."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    with closing(connection):
        connection.request("GET", "/_control/stats")
        operations = json.loads(connection.getresponse().read())["operations"]
    return int(operations.get("GetRecords", {}).get("calls", 0))


def resident_kib() -> float:
    """Give what of this process is in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_024


def table(count: int) -> str:
    """Give the lines in Markdown."""
    found = []
    for _ in range(count):
        rounds.wait_for_quiet()
        one = {}
        for name, shards in (("few", FEW), ("many", MANY)):
            with rounds.canned(1, 100, shards) as url:
                one[name] = rounds.run("benches.load.idle", url, str(shards))
        found.append(one)
    return rows.table(found, ROWS)


def _added(one: dict[str, Result], what: str, per: str) -> float:
    few, many = one["few"], one["many"]
    return float((many[what] - few[what]) / (many[per] - few[per]))


def _each(result: Result) -> float:
    return float(result["cpu_us"] / result["polls"])


def main() -> None:
    """Print the table, or what one process has found."""
    if len(sys.argv) > 2:
        emit(idle(sys.argv[1], int(sys.argv[2])))
    else:
        sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 3) + "\n")


if __name__ == "__main__":
    main()
