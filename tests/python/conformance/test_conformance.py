"""Runs every case that Python can run, one test each.

Rules: `PENSTOCK_CONFORMANCE` names a folder that the counts by feature are written to, for the
table of `make conformance`.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import _bridge
from penstock.errors import ConfigurationError
from tests.python.conformance.cases import Case, merged, read
from tests.python.conformance.judge import judge
from tests.python.conformance.stage import Stage, base

CASES = list(read("python"))
_counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    folder = os.environ.get("PENSTOCK_CONFORMANCE")
    if folder:
        (Path(folder) / "python.json").write_text(json.dumps(_counts), encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.feature}/{case.file}")
def test_python_does_what_the_case_says(case: Case, tmp_path: Path) -> None:
    _counts[case.feature][0] += 1
    wrong = _refused(case) if "refused" in case.body else _run(case, tmp_path)
    assert not wrong, case.body["name"] + "\n    " + "\n    ".join(wrong)
    _counts[case.feature][1] += 1


def _run(case: Case, folder: Path) -> list[str]:
    stage, wrong = Stage(case, folder), []
    stage.begin()
    try:
        for number, (step, what) in enumerate(case.steps):
            stage.step(step, what)
            if step == "expect":
                wrong += [f"step {number}: {each}" for each in judge(stage, what)]
        return wrong + judge(stage, case.body["expect"])
    finally:
        stage.end()


def _refused(case: Case) -> list[str]:
    document = merged(base(case), case.body.get("config", {}))
    wanted = case.body["refused"]
    try:
        _bridge.normalize(json.dumps(document).encode())
    except ConfigurationError as error:
        same = error.path == wanted["path"] and wanted["message"] in str(error)
        return [] if same else [f"it is refused at {error.path}: {error}"]
    return ["the document is accepted"]
