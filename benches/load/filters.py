"""Measures what filters cost: `python -m benches.load.filters [ROUNDS]` prints a table.

The program that is timed is the one whose instructions are counted against `benches/budgets.toml`.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benches.load import rounds
from benches.load.rounds import Result

RECORDS = 10_000
PAGES = 20
_WORKLOADS = ("filter", "unfiltered")


def measure(count: int) -> list[dict[str, Result]]:
    """Run the rounds."""
    results = []
    for _ in range(count):
        rounds.wait_for_quiet()
        results.append({workload: _run(workload) for workload in _WORKLOADS})
    return results


def table(count: int) -> str:
    """Give the lines in Markdown."""
    found = measure(count)
    lines = ["| microseconds a record | median | rounds | must be | |", "|---|---|---|---|---|"]
    for workload, name, most in (
        ("filter", "two fields, base64 included", 1.0),
        ("unfiltered", "no filters", 0.001),
    ):

        def cost(one: dict[str, Result], workload: str = workload) -> float:
            return float(one[workload]["nanoseconds"]) / 1_000 / RECORDS / PAGES

        figure = rounds.median(found, cost)
        spread = f"{min(map(cost, found)):.3f}–{max(map(cost, found)):.3f}"
        verdict = "holds" if figure <= most else "**falls short**"
        lines.append(f"| {name} | {figure:.3f} | {spread} | ≤ {most:.3g} | {verdict} |")
    return "\n".join(lines)


def _run(workload: str) -> Result:
    program = rounds.target() / "release" / "penstock-count"
    command = [str(program), f"{workload}/{RECORDS}", str(PAGES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    result: Result = json.loads(done.stdout)
    return result


def main() -> None:
    """Print the table."""
    sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 7) + "\n")


if __name__ == "__main__":
    main()
