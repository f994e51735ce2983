"""Nothing outlives a service with child processes, however it ends, and nothing is lost.

`python -m tests.python.integration.test_orphans FOLDER put` puts and handles until it is killed;
with `run` it handles what is there until a signal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

import penstock
from penstock.cli.state import open_state
from tests.python.integration import harness, hell
from tests.python.integration.journals import (
    NAME,
    family,
    handled,
    has_more,
    lines,
    shared_files,
    until,
)

KEYS = 8
GONE_WITHIN_S = 1.0
# What handlers start: a program, a copy of the child, and a call that never lets go.
HARM = ("starts_a_program", "forks_a_copy_that_stays", "holds_the_interpreter")


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers say what they have handled."""
    path = tmp_path / "journal"
    path.touch()
    monkeypatch.setenv(NAME, str(path))
    return path


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(2, 0), *(pytest.param(10, seed, marks=pytest.mark.slow) for seed in range(1, 6))],
)
def test_nothing_outlives_a_killed_parent(
    kills: int, seed: int, journal: Path, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    seconds = []
    for _ in range(kills):
        with program(tmp_path, "put") as parent:
            calls = len(lines(journal, "C"))
            until(partial(has_more, journal, calls + 6))
            time.sleep(chance.uniform(0.0, 0.3))
            without_name, with_name = shared_files(parent.pid)
            assert without_name
            assert not with_name, "this would be left behind"
            assert len(family(journal)) >= 4, "the parent, its guard and two children"
            parent.kill()
            parent.wait(20)
        seconds.append(seconds_until_gone(journal))
    assert statistics.median_low(seconds) <= GONE_WITHIN_S, f"{seconds}"
    with parent_app(tmp_path, 20).background() as engine:
        harness.until_idle(engine, timeout_s=100)
        assert len(family(journal)) >= 2
    assert not family(journal)
    assert shared_files(os.getpid()) == (set(), set())
    assert set(handled(journal)) >= {f"{n}" for n in range(put_so_far(tmp_path))}, "lost"


def test_what_a_child_that_never_lets_go_has_started_ends_with_the_parent(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, *HARM)
    with program(tmp_path, "run") as parent:
        until(partial(has_more, journal, len(HARM) - 1))
        until(lambda: len(family(journal)) >= 6)  # and a program, and a copy of a child
        parent.kill()
    seconds_until_gone(journal)
    # Those that were answered are settled, and the one that was not comes again.
    assert handled(journal) == [*HARM[:2]]
    monkeypatch.setenv("HELL_SECONDS", "0")
    with parent_app(tmp_path).background() as engine:
        harness.until_idle(engine)
    assert handled(journal)[-1] == HARM[2]


def test_a_guard_that_is_gone_is_replaced(
    journal: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with parent_app(tmp_path).background() as engine:
        until(lambda: all(child["state"] == "ready" for child in engine.children()))
        [first] = guards(journal)
        os.kill(first, signal.SIGKILL)
        engine.put("orders", [("k", b"dies_with_failure")])
        until(lambda: guards(journal) not in (set(), {first}))
    assert not family(journal)
    assert "the guard of child processes was gone" in caplog.text


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_service_that_is_told_to_stop_lets_its_children_finish(
    number: int, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELL_SECONDS", "1")
    put(tmp_path, "0", "starts_a_program", "sleeps", "1")
    with program(tmp_path, "run") as parent:
        until(partial(has_more, journal, 2))
        # To all of them, as a supervisor of services does.
        for pid in family(journal):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        assert parent.wait(60) == 0
    assert not family(journal)
    at_stop = handled(journal)
    assert "sleeps" in at_stop, "the batch that ran was let finish"
    with parent_app(tmp_path).background() as engine:
        harness.until_idle(engine)
    assert Counter(handled(journal)) == dict.fromkeys(["0", "starts_a_program", "sleeps", "1"], 1)


def test_a_second_signal_ends_everything_at_once_and_settles_nothing_more(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "starts_a_program", "sleeps")
    with program(tmp_path, "run") as parent:
        until(partial(has_more, journal, 1))
        parent.send_signal(signal.SIGINT)
        until(lambda: "draining" in (tmp_path / "log").read_text())
        parent.send_signal(signal.SIGINT)
        assert parent.wait(60) == 130
    seconds_until_gone(journal)
    assert handled(journal) == ["starts_a_program"]
    monkeypatch.setenv("HELL_SECONDS", "0")
    with parent_app(tmp_path).background() as engine:
        harness.until_idle(engine)
    assert handled(journal)[-1] == "sleeps", "it came again"


def seconds_until_gone(journal: Path) -> float:
    """Wait until nothing is left of the service; say how long that took."""
    began = time.monotonic()
    until(lambda: not family(journal), timeout_s=20)
    return time.monotonic() - began


def guards(journal: Path) -> set[int]:
    """Give the processes that kill what is left."""
    found = set()
    for pid in family(journal):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"_guard.py" in command:
            found.add(pid)
    return found


@contextmanager
def program(folder: Path, what: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a parent; kill it at the end if nobody else did."""
    command = [sys.executable, "-m", "tests.python.integration.test_orphans", str(folder), what]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as parent,
    ):
        try:
            yield parent
        finally:
            parent.kill()


def put(folder: Path, *marks: str) -> None:
    """Put records of one key, and handle none."""
    with open_state(folder / "state", create=True) as opened:
        opened.streams.create("orders", 2)
        opened.streams.put("orders", [("k", mark.encode()) for mark in marks])


def parent_app(folder: Path, batch_size: int = 1) -> penstock.App:
    app = penstock.App(
        state=folder / "state",
        streams={"orders": 2},
        pool="process",
        workers=2,
        drain_timeout=30,
    )
    app.function(timeout="60s")(hell.handler)
    app.add(
        penstock.Mapping(
            "stream:orders",
            hell.handler,
            starting_position="TRIM_HORIZON",
            batch_size=batch_size,
            parallelization_factor=2,
            maximum_retry_attempts=0,
        )
    )
    return app


def put_so_far(folder: Path) -> int:
    path = folder / "put"
    return int(path.read_text()) if path.exists() else 0


def _put(folder: Path) -> None:
    """Put and handle until somebody kills this process."""
    harm: tuple[str, ...] = HARM[:2]
    with parent_app(folder, 20).background() as engine:
        while True:
            first = put_so_far(folder)
            marks = [*harm, *(f"{n}" for n in range(first, first + 50))]
            harm = ()
            engine.put("orders", [(f"k{n % KEYS}", m.encode()) for n, m in enumerate(marks)])
            (folder / "put.new").write_text(str(first + 50))
            (folder / "put.new").replace(folder / "put")
            time.sleep(0.05)


def _main() -> int:
    logging.basicConfig(level=logging.INFO)
    folder, what = Path(sys.argv[1]), sys.argv[2]
    if what == "put":
        _put(folder)
    return parent_app(folder).run().exit_code


if __name__ == "__main__":
    sys.exit(_main())
