"""Measures CPU a message of SQS, receive and delete, beside a boto3 loop.

`python -m benches.load.queue [ROUNDS]` prints a table. Both drain a queue of their own, filled in
advance, over eight connections at least; a message counts when its handler has it, and is deleted
behind it at the same rate.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from benches.load import rounds
from benches.load.delivery import Line
from benches.load.rounds import Drain, Result
from tests.services.process import running

SIZE = 1_024
# Messages beyond those that are counted, so that nobody meets the end.
SPARE = 4_000
CHECKED = 500
CONNECTIONS = 8
DRAINS = {
    "penstock": Drain(module="benches.load.drain_queue", records=100_000, environment={}),
    "boto3": Drain(module="benches.load.drain_queue_boto3", records=8_000, environment={}),
}
MUST = 15.0


@contextlib.contextmanager
def canned(messages: int) -> Iterator[str]:
    """Give the address of an optimised server with so many messages in the queue `bench`."""
    program = rounds.target() / "release" / "penstock-servers"
    command = [str(program), "sqs", "--canned", f"{messages}x{SIZE}"]
    with running("penstock-servers", command) as child:
        port = child.fact(lambda fact: "port" in fact)["port"]
        yield f"http://127.0.0.1:{port}"


def measure(count: int) -> list[dict[str, Result]]:
    """Insist that both deliver the same messages, then run the rounds."""
    digests = {name: _drained(drain, CHECKED, {"DIGEST": "1"}) for name, drain in DRAINS.items()}
    if len({one["digest"] for one in digests.values()}) != 1:
        raise SystemExit(f"events differ: {digests}")
    found = []
    for _ in range(count):
        rounds.wait_for_quiet()
        found.append({name: _drained(one, one.records, {}) for name, one in DRAINS.items()})
    return found


def table(count: int) -> str:
    """Give the lines in Markdown."""
    found = measure(count)

    def middle(name: str, unit: str) -> str:
        return f"{rounds.median(found, lambda one: float(one[name][unit])):.1f}"

    def ratio(one: dict[str, Result]) -> float:
        return float(one["boto3"]["cpu_us"] / one["penstock"]["cpu_us"])

    line = Line(
        name=f"{SIZE:,} B: times less CPU than a boto3 loop",
        figure=rounds.median(found, ratio),
        spread=rounds.spread(found, ratio),
        must=MUST,
    )
    cells = [f"{middle(name, 'cpu_us')} / {middle(name, 'wall_us')}" for name in DRAINS]
    return "\n".join(
        [
            "| payload | penstock | boto3 loop |",
            "|---|---|---|",
            f"| {SIZE:,} B | {' | '.join(cells)} |",
            "",
            "| line | median | rounds | must be | |",
            "|---|---|---|---|---|",
            line.row(),
        ]
    )


def _drained(drain: Drain, messages: int, environment: dict[str, str]) -> Result:
    spare = 0 if environment else SPARE
    with canned(messages + spare) as url:
        return rounds.run(drain.module, url, str(messages), environment=environment)


def main() -> None:
    """Print the table."""
    sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 7) + "\n")


if __name__ == "__main__":
    main()
