"""Tests the command line on the real extension: signals, exit codes, checkpoints, the demo."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.app import App
from tests.python.boundary.programs import START, settled


@contextmanager
def service(tmp_path: Path, body: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start `penstock run` on a handler, with one record for it."""
    (tmp_path / "shop.py").write_text(
        "import time\nfrom pathlib import Path\n"
        f"def handler(event, context):\n    Path('begun').touch()\n    {body}\n"
    )
    base = [sys.executable, "-m", "penstock"]
    for more in (["create", "orders"], ["put", "orders", "one"]):
        subprocess.run([*base, "stream", *more], cwd=tmp_path, check=True, capture_output=True)
    process = subprocess.Popen(
        [*base, "run", "shop.handler", "--source", "stream:orders", "--starting-position",
         "TRIM_HORIZON", *options],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, "the handler was not called"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def told(process: subprocess.Popen[str], words: str) -> str:
    """Read what the service says until it has said so; gives all of it."""
    assert process.stderr is not None
    said = ""
    while words not in said:
        line = process.stderr.readline()
        assert line, f"it ended before {words!r}: {said}"
        said += line
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_drains_and_says_what_it_waits_for(tmp_path: Path, number: int) -> None:
    body = "while not Path('free').exists(): time.sleep(0.01)"
    with service(tmp_path, body) as process:
        process.send_signal(number)
        told(process, f"got {signal.Signals(number).name}; waiting for 1 invocation")
        (tmp_path / "free").touch()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert "1 record in 1 batch, 0 lost, 0 discarded" in err


def test_the_second_signal_aborts(tmp_path: Path) -> None:
    with service(tmp_path, "time.sleep(60)") as process:
        process.send_signal(signal.SIGINT)
        told(process, "got SIGINT; waiting for 1 invocation")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=50)
        assert process.returncode == 130, err
    assert "aborted" in err


def test_a_drain_that_takes_too_long_has_exit_code_4(tmp_path: Path) -> None:
    with service(tmp_path, "time.sleep(60)", "--drain-timeout", "300ms") as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=50)
        assert process.returncode == 4, err
    assert "not drained" in err


def test_checkpoints_are_shown_with_the_owner_and_without(tmp_path: Path) -> None:
    app = App(state=tmp_path, streams={"orders": 1}, silence=["PS801"])

    def handler(event: Any, context: Any) -> None:
        if any(record["kinesis"]["partitionKey"] == "bad" for record in event["Records"]):
            raise ValueError("bad")

    app.on("stream:orders", **START, batch_size=1, backoff_base="1m", backoff_cap="5m")(handler)

    def shown(*arguments: str) -> str:
        command = [sys.executable, "-m", "penstock", "checkpoint", "show", *arguments]
        command += ["--state", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with app.background() as engine:
        [placed] = engine.put("orders", [("good", b"1")])
        [bad] = engine.put("orders", [("bad", b"2")])
        settled(engine, 1)
        deadline = time.monotonic() + 60
        while placed["sequence_number"] not in shown("handler"):
            assert time.monotonic() < deadline, "the checkpoint was not saved"
        identity = engine.prepared[0].id
    text = shown(identity)
    assert f"after {placed['sequence_number']}" in text
    assert f"1 record from {bad['sequence_number']}, 1 attempt failed" in text
    document = json.loads(shown(identity, "--json"))
    assert document["rows"][0]["checkpoint"]["fronts"][0]["attempts"] == 1


def test_the_demo_keeps_its_promises() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "demo", "--json", "--records", "3000", "--shards", "2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] is True
    assert all(result["checks"].values())
    assert result["handled"] == 2999
    assert len(result["failure_documents"]) == 1
    assert result["records_per_second"] > 0
