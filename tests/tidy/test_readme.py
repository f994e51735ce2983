"""Runs the README's example as it stands, with the commands that the README gives."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
PENSTOCK = Path(sys.executable).with_name("penstock")
READY_WITHIN_S = 60


@pytest.fixture
def example(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """The first block of Python in the README, running in a folder of its own."""
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    (tmp_path / "orders.py").write_text(code[1], encoding="utf-8")
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "orders.py"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield process
        process.kill()


def test_the_example_handles_what_is_put(example: "subprocess.Popen[str]", tmp_path: Path) -> None:
    put = ["stream", "put", "orders", '{"order": 1}', '{"order": 2}']
    deadline = time.monotonic() + READY_WITHIN_S
    while penstock(tmp_path, "why").returncode:
        assert example.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline, "the example does not answer"
    assert penstock(tmp_path, *put).returncode == 0
    assert example.stdout
    printed = "".join(example.stdout.readline() for _ in range(2))
    # Two shards, two threads: `print` writes a text and its line end apart, so lines may mix.
    assert sorted(re.findall(r"{.*?}", printed)) == ['{"order": 1}', '{"order": 2}']
    example.send_signal(signal.SIGTERM)
    assert example.wait(timeout=READY_WITHIN_S) == 0, (tmp_path / "log").read_text()


def penstock(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PENSTOCK, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
