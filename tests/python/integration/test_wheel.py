"""The wheel installs into an empty virtual environment without a compiler, and the demo runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.python.integration.harness import ROOT
from tests.services.environment import USER_ENVIRONMENT

WHEEL_BYTES_MAX = 15 * 1024 * 1024


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_wheel_runs_the_demo_without_a_compiler(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    subprocess.run(
        ["make", "wheel", f"DIST={wheels}"],
        cwd=ROOT,
        env=USER_ENVIRONMENT,
        check=True,
        timeout=1_700,
    )
    (wheel,) = wheels.glob("penstock-*.whl")
    assert wheel.stat().st_size < WHEEL_BYTES_MAX
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    # Nothing on this path compiles anything.
    environment = USER_ENVIRONMENT | {"PATH": str(home / "bin")}
    subprocess.run(
        [home / "bin/python", "-m", "pip", "install", "--quiet", "--only-binary=:all:", wheel],
        env=environment,
        check=True,
        timeout=600,
    )
    done = subprocess.run(
        [home / "bin/penstock", "demo", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    imported = subprocess.run(
        [home / "bin/python", "-c", "import penstock._penstock as p; print(p.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(home) in imported.stdout
    assert os.path.realpath(sys.prefix) not in imported.stdout
