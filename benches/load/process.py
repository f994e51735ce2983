"""Measures what delivery does to its process: beside `json.loads`, the collector, memory.

`python -m benches.load.process [ROUNDS]` prints a table.
"""

from __future__ import annotations

import sys

from benches.load import rounds, rows
from benches.load.delivery import SPARE
from benches.load.rounds import Drain, Result
from benches.load.rows import Row

SIZE = 1_024
RECORDS = 300_000
# Bytes of the answer to one request: 10,000 records, or 10 MB of payloads.
ANSWER_KIB = 10_000 * 1_600 // 1_024
_OTHERS = {"OTHERS": "1000000"}

ROWS = (
    Row(
        name="whole delivery, of the CPU of `json.loads(event)` alone",
        of=lambda one: one["penstock"]["cpu_us"] / one["loads"]["cpu_us"],
        most=1 / 3,
    ),
    Row(
        name="a million other containers: collector on, of off",
        of=lambda one: one["others"]["cpu_us"] / one["others_off"]["cpu_us"],
        most=1.10,
    ),
    Row(name="page faults a record", of=lambda one: one["penstock"]["faults"], most=0.02),
    Row(
        name="peak memory above the idle process, in fetched answers",
        of=lambda one: (one["penstock"]["peak_kib"] - one["idle"]["peak_kib"]) / ANSWER_KIB,
        most=3.0,
    ),
)


def measure(count: int) -> list[dict[str, Result]]:
    """Run the rounds."""

    def drain(module: str, environment: dict[str, str]) -> Drain:
        return Drain(module=module, records=RECORDS, environment=environment)

    drains = {
        "penstock": drain("benches.load.drain_penstock", {}),
        "others": drain("benches.load.drain_penstock", _OTHERS),
        "others_off": drain("benches.load.drain_penstock", _OTHERS | {"COLLECTOR": "off"}),
        "idle": drain("benches.load.drain_penstock", {"IDLE": "1"}),
        "loads": drain("benches.load.drain_loads", {}),
    }
    with rounds.canned(RECORDS + SPARE[SIZE], SIZE) as url:
        return rounds.interleaved(url, drains, count)


def table(count: int) -> str:
    """Give the lines in Markdown."""
    return rows.table(measure(count), ROWS)


def main() -> None:
    """Print the table."""
    sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 7) + "\n")


if __name__ == "__main__":
    main()
