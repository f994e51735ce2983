"""Bad input ends with a clear error and the right exit code: nothing hangs, nothing panics."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.python.integration import harness
from tests.services.environment import clean_environment
from tests.services.wire import EVERYTHING, sqs_server, wire_server

USAGE = 2
FAILED = 1
RUN = [sys.executable, "-m", "penstock", "run", "tasks.handler"]
RUN += ["--starting-position", "TRIM_HORIZON"]
HANDLER = """
def handler(event, context):
    pass
"""


def _run(
    home: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    without: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    (home / "tasks.py").write_text(HANDLER)
    environment = clean_environment() | dict(env or {})
    for name in without:
        environment.pop(name, None)
    return subprocess.run(
        [*RUN, *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    assert "panicked" not in done.stderr, done.stderr
    assert "error[PS" in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr, f"{word!r} is not in:\n{done.stderr}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-size", "0"], ["batch_size"]),
        (["--batch-size", "10001"], ["batch_size", "10000"]),
        (["--parallelization-factor", "11"], ["parallelization_factor"]),
        (["--maximum-record-age-in-seconds", "59"], ["maximum_record_age_in_seconds"]),
        (["--starting-position", "SOMEWHERE"], ["SOMEWHERE"]),
        (["--on-failure", "carrier-pigeon:x"], ["carrier-pigeon"]),
    ],
)
def test_an_option_out_of_range_names_itself(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    done = _run(tmp_path, "--source", "stream:orders", *arguments)
    assert done.returncode == USAGE, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word.replace("_", "-") in done.stderr or word in done.stderr, done.stderr


def test_an_unknown_option_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    done = _run(tmp_path, "--source", "stream:orders", "--batch-sise", "10")
    assert done.returncode == USAGE
    assert "--batch-size" in done.stderr, done.stderr


def test_an_embedded_stream_that_does_not_exist(tmp_path: Path) -> None:
    done = _run(tmp_path, "--source", "stream:nowhere")
    assert done.returncode in {FAILED, USAGE}, done.stderr
    _refused(done, done.returncode, "nowhere", "hint")


def test_a_kinesis_stream_that_does_not_exist(tmp_path: Path) -> None:
    with wire_server() as server:
        done = _run(tmp_path, "--source", "kinesis:nowhere", env={"AWS_ENDPOINT_URL": server.url})
    assert done.returncode in {FAILED, USAGE}, done.stderr
    _refused(done, done.returncode, "nowhere")


def test_an_sqs_queue_that_does_not_exist(tmp_path: Path) -> None:
    with sqs_server() as server:
        env = {"AWS_ENDPOINT_URL": server.url}
        done = _run(tmp_path, "--source", "sqs:nowhere", env=env)
    assert done.returncode in {FAILED, USAGE}, done.stderr
    _refused(done, done.returncode, "nowhere", "NonExistentQueue", "does not exist", "hint")


def test_denied_access_names_the_action(tmp_path: Path) -> None:
    with wire_server() as server:
        harness.create_stream(server.client(), "orders", 1)
        server.deny_access(EVERYTHING)
        done = _run(tmp_path, "--source", "kinesis:orders", env={"AWS_ENDPOINT_URL": server.url})
    assert done.returncode in {FAILED, USAGE}, done.stderr
    _refused(done, done.returncode, "DescribeStreamSummary")


def test_no_credentials(tmp_path: Path) -> None:
    done = _run(
        tmp_path,
        "--source",
        "kinesis:orders",
        env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    )
    assert done.returncode in {FAILED, USAGE}, done.stderr
    _refused(done, done.returncode, "credentials")


def test_no_region(tmp_path: Path) -> None:
    done = _run(
        tmp_path,
        "--source",
        "kinesis:orders",
        without=("AWS_DEFAULT_REGION", "AWS_REGION"),
    )
    assert done.returncode in {FAILED, USAGE}, done.stderr
    _refused(done, done.returncode, "region")


def test_an_unreachable_endpoint(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = _run(tmp_path, "--source", "kinesis:orders", env={"AWS_ENDPOINT_URL": url})
    assert done.returncode in {FAILED, USAGE}, done.stderr
    _refused(done, done.returncode, url)


def _stream(home: Path) -> Path:
    state = home / "state"
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "stream", "create", "orders", "--state", str(state)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return state


def _with_state(home: Path, state: Path) -> subprocess.CompletedProcess[str]:
    return _run(home, "--source", "stream:orders", "--state", str(state), "--until-empty")


def test_a_corrupt_state_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    state = _stream(tmp_path)
    file = state / "penstock.db"
    for leftover in state.glob("penstock.db-*"):
        leftover.unlink()
    torn = b"this is not a database, it is a poem" * 500
    file.write_bytes(torn)
    _refused(_with_state(tmp_path, state), FAILED, str(file))
    assert file.read_bytes() == torn


def test_a_state_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    state = _stream(tmp_path)
    database = sqlite3.connect(state / "penstock.db")
    database.execute("update meta set value = '999' where name = 'format'")
    database.commit()
    database.close()
    _refused(_with_state(tmp_path, state), FAILED, "newer")


def test_a_state_directory_in_use_names_its_owner(tmp_path: Path) -> None:
    state = _stream(tmp_path)
    (tmp_path / "tasks.py").write_text(HANDLER)
    command = [*RUN, "--source"]
    owner = subprocess.Popen(
        [*command, "stream:orders", "--state", str(state)],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not list(state.glob("*.sock")):
            assert time.monotonic() < deadline, "the owner did not start"
            time.sleep(0.05)
        _refused(_with_state(tmp_path, state), FAILED, str(owner.pid))
    finally:
        owner.terminate()
        assert owner.wait(30) == 0


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root writes all")
def test_a_read_only_state_directory(tmp_path: Path) -> None:
    state = _stream(tmp_path)
    (tmp_path / "tasks.py").write_text(HANDLER)
    for path in [*state.iterdir(), state]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [*RUN, "--source"]
    command += ["stream:orders", "--state", str(state)]
    if os.geteuid() == 0:
        # Root may write anywhere; without that power it may not.
        command = ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-all", *command]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for path in [state, *state.iterdir()]:
        path.chmod(0o700)
    _refused(done, FAILED, str(state))
