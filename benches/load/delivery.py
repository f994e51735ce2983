"""Measures CPU a record from a loopback Kinesis answer to a no-op handler, beside others.

`python -m benches.load.delivery [ROUNDS]` prints a table. Beside penstock stand the bound, a boto3
loop, and the best plain Python; all of them drain the same canned server.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benches.load import rounds
from benches.load.rounds import Drain, Result

PEERS = ("bound", "boto3", "python")
# By payload bytes: records that fast drains take, records that the boto3 loop takes.
SIZES = {100: (1_200_000, 60_000), 1_024: (500_000, 40_000), 10_240: (50_000, 8_000)}
# Records beyond those that are counted, so that nobody meets the end.
SPARE = {100: 60_000, 1_024: 40_000, 10_240: 8_000}
# What the ratios have to be, by payload: of the bound on CPU and wall, and times the peers.
MUST = {100: (0.80, 1.0, 30, 2.8), 1_024: (0.70, 1.0, 20, 2.2), 10_240: (0.60, None, 18, 3.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row: a figure, its smallest and largest, and what it has to be."""

    name: str
    figure: float
    spread: str
    must: float | None

    def row(self) -> str:
        """Give the row in Markdown, with a verdict that hides nothing."""
        if self.must is None:
            verdict = "—"
        else:
            verdict = "holds" if self.figure >= self.must else "**falls short**"
        must = "—" if self.must is None else f"≥ {self.must:g}"
        return f"| {self.name} | {self.figure:.2f} | {self.spread} | {must} | {verdict} |"


def measure(size: int, count: int) -> list[dict[str, Result]]:
    """Run the rounds of one payload size."""
    fast, slow = SIZES[size]
    drains = {
        name: Drain(
            module=f"benches.load.drain_{name}",
            records=slow if name == "boto3" else fast,
            environment={},
        )
        for name in ("penstock", *PEERS)
    }
    with rounds.canned(fast + SPARE[size], size) as url:
        rounds.same_events(url, drains, min(20_000, slow))
        return rounds.interleaved(url, drains, count)


def lines(size: int, found: list[dict[str, Result]]) -> list[Line]:
    """Give the ratios of one payload size."""
    of_bound, of_wall, boto3, python = MUST[size]

    def line(name: str, must: float | None, peer: str, unit: str) -> Line:
        def ratio(one: dict[str, Result]) -> float:
            return float(one[peer][unit] / one["penstock"][unit])

        return Line(
            name=f"{size:,} B: {name}",
            figure=rounds.median(found, ratio),
            spread=rounds.spread(found, ratio),
            must=must,
        )

    return [
        line("of the bound, CPU", of_bound, "bound", "cpu_us"),
        line("of the bound, wall", of_wall, "bound", "wall_us"),
        line("times less CPU than a boto3 loop", boto3, "boto3", "cpu_us"),
        line("times less CPU than plain Python", python, "python", "cpu_us"),
    ]


def costs(size: int, found: list[dict[str, Result]]) -> str:
    """Give the row of absolute figures, medians of the rounds."""

    def middle(name: str, unit: str) -> float:
        return rounds.median(found, lambda one: float(one[name][unit]))

    cells = [
        f"{middle(name, 'cpu_us'):.2f} / {middle(name, 'wall_us'):.2f}"
        for name in ("penstock", *PEERS)
    ]
    return f"| {size:,} B | {' | '.join(cells)} |"


def tables(count: int) -> tuple[str, str]:
    """Give the table of absolute figures and the table of ratios."""
    absolute = [
        "| payload | penstock | the bound | boto3 loop | plain Python |",
        "|---|---|---|---|---|",
    ]
    ratios = ["| line | median | rounds | must be | |", "|---|---|---|---|---|"]
    for size in SIZES:
        found = measure(size, count)
        absolute.append(costs(size, found))
        ratios += [line.row() for line in lines(size, found)]
    return "\n".join(absolute), "\n".join(ratios)


def main() -> None:
    """Print the tables."""
    for table in tables(int(sys.argv[1]) if len(sys.argv) > 1 else 7):
        sys.stdout.write(table + "\n\n")


if __name__ == "__main__":
    main()
