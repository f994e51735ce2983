"""Holds a batch to one attach to the interpreter, as callgrind counts them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.environment import clean_environment

ROOT = Path(__file__).resolve().parents[3]
FEW, MANY = 2, 6
ATTACH = "PyEval_RestoreThread"
_LINE = re.compile(r"(c?ob|c?fn)=\((\d+)\)(?: (.+))?$")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_batch_attaches_once_when_it_has_been_waited_for(tmp_path: Path) -> None:
    assert shutil.which("valgrind"), "valgrind is missing: apt-get install valgrind"
    added = attaches(MANY, tmp_path) - attaches(FEW, tmp_path)
    assert added == MANY - FEW


def attaches(batches: int, home: Path) -> int:
    """Count how often the extension attached while so many batches were taken."""
    found = home / f"calls-{batches}"
    command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={found}"]
    command += [sys.executable, "-W", "ignore", "-m", "tests.python.budgets.attaching"]
    done = subprocess.run(
        [*command, str(batches)],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return calls_from(found.read_text(encoding="utf-8"), "_penstock", ATTACH)


def calls_from(profile: str, library: str, called: str) -> int:
    """Count the calls of a function of the interpreter's by a library."""
    names: dict[tuple[str, str], str] = {}
    now: dict[str, str] = {}
    calls = 0
    for line in profile.splitlines():
        if match := _LINE.match(line):
            what, number, name = match.groups()
            space = what.removeprefix("c")
            if name:
                names[space, number] = name
            now[what] = names[space, number]
        elif line.startswith("calls=") and now["cfn"] == called and library in now["ob"]:
            calls += int(line.removeprefix("calls=").split()[0])
    return calls
