"""Prints the table of `make conformance`: cases by feature, and how many pass each runner.

    python -m tests.python.conformance.table FOLDER

FOLDER holds what the runners wrote there. Exits with 1 when a case failed or a runner left
something out.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from tests.python.conformance.cases import ROOT, read

RUNNERS = ("engine", "python")


def main(folder: Path) -> int:
    """Print the table; whether everything passed, as an exit code."""
    cases = Counter(file.parent.name for file in ROOT.glob("*/*.json"))
    meant = {runner: Counter(case.feature for case in read(runner)) for runner in RUNNERS}
    passed = {runner: _passed(folder / f"{runner}.json") for runner in RUNNERS}
    lines = [f"{'feature':<20}{'cases':>7}" + "".join(f"{runner:>12}" for runner in RUNNERS)]
    for feature in [*sorted(cases), ""]:
        count = cases[feature] if feature else cases.total()
        line = f"{feature or 'all':<20}{count:>7}"
        for runner in RUNNERS:
            of = meant[runner][feature] if feature else meant[runner].total()
            good = passed[runner][feature] if feature else passed[runner].total()
            line += f"{f'{good}/{of}':>12}"
        lines.append(line)
    sys.stdout.write("\n".join(lines) + "\n")
    return int(any(passed[runner] != meant[runner] for runner in RUNNERS))


def _passed(file: Path) -> Counter[str]:
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return Counter({feature: good for feature, (_, good) in found.items() if good})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
