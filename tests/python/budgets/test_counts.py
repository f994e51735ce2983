"""Holds instructions and allocations of fixed workloads to `benches/budgets.toml`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUDGETS = tomllib.loads((ROOT / "benches" / "budgets.toml").read_text(encoding="utf-8"))
FEW, MANY = 2, 6

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program() -> Path:
    build = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "penstock-benches"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return target / "release" / "penstock-count"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True)


def allocations(program: Path, workload: str, times: int) -> int:
    made: int = json.loads(run(str(program), workload, str(times)).stdout)["allocations"]
    return made


def instructions(program: Path, workload: str, times: int) -> int:
    callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    said = run(*callgrind, str(program), workload, str(times)).stderr
    collected = re.search(r"Collected : (\d+)", said)
    assert collected, said
    return int(collected[1])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workload", BUDGETS["workload"])
def test_a_workload_keeps_to_its_budget(program: Path, workload: str) -> None:
    assert shutil.which("valgrind"), "valgrind is missing: apt-get install valgrind"
    found = {
        count.__name__: (count(program, workload, MANY) - count(program, workload, FEW))
        / (MANY - FEW)
        for count in (allocations, instructions)
    }
    budget = BUDGETS["workload"][workload]
    over = {name: (found[name], budget[name]) for name in found if found[name] > budget[name]}
    assert not over, f"over budget (found, allowed): {over}"
