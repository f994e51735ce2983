"""The life of a child process: how it is started, what it gets, when it is replaced.

`python -m tests.python.integration.test_children [BYTES]` handles some records in one child, and
may write no file that is larger.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import penstock
from penstock.workers import processes
from tests.python.integration import harness, hell, nursery
from tests.python.integration.journals import NAME, handled, lines, until

RECORDS = 300
SLOW = pytest.mark.slow
FRAGILE = """
import os

def is_open(descriptor):
    try:
        return bool(os.fstat(descriptor))
    except OSError:
        return False

if "FRAGILE" in os.environ:
    {at_import}

def handler(event, context):
    pass
"""


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers say what they have handled."""
    path = tmp_path / "journal"
    path.touch()
    monkeypatch.setenv(NAME, str(path))
    return path


@pytest.mark.parametrize(("limit", "batch_size"), [(3, 1), pytest.param(1, 5, marks=SLOW)])
def test_children_are_replaced_after_some_invocations_between_batches(
    limit: int, batch_size: int, journal: Path
) -> None:
    app = app_of(hell.handler, penstock.Children(maximum_invocations=limit), batch_size=batch_size)
    with app.background() as engine:
        engine.put("orders", [("k", b"%d" % n) for n in range(10 * batch_size)])
        harness.until_idle(engine)
    calls = Counter(pid for pid, _ in lines(journal, "C"))
    assert max(calls.values()) == limit
    assert set(list(calls.values())[:-1]) == {limit}, "each ran as many as it may, but the last"
    assert handled(journal) == [f"{n}" for n in range(10 * batch_size)], "no batch was cut short"


def test_children_that_hold_too_much_are_replaced_between_batches(
    journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    children = penstock.Children(maximum_memory=250)
    app = app_of(nursery.grows, children, batch_size=3, maximum_batching_window_in_seconds=1)
    with caplog.at_level(logging.INFO, "penstock"), app.background() as engine:
        engine.put("orders", [("k", mark) for mark in (b"0", b"grow", b"1", b"2", b"3", b"4")])
        harness.until_idle(engine)
    first, *others = [pid for pid, _ in lines(journal, "C")]
    assert handled(journal) == ["0", "grow", "1", "2", "3", "4"], "each once, in whole batches"
    assert others
    assert first not in others
    assert caplog.text.count("is replaced: it holds") == 1


@pytest.mark.parametrize("allowed", [None, ["LISTED", NAME]])
def test_a_child_gets_the_variables_that_are_allowed(
    allowed: list[str] | None, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in nursery.NAMES:
        monkeypatch.setenv(name, os.environ.get(name, "x"))
    app = app_of(nursery.tells_environment, penstock.Children(environment=allowed))
    with app.background() as engine:
        engine.put("orders", [("k", b"x")])
        harness.until_idle(engine)
    found = {name for name, there in lines(journal, "V") if there == "True"}
    everywhere = {"LISTED", "PATH", "AWS_REGION"}
    assert found == (everywhere | {"UNLISTED"} if allowed is None else everywhere)


def test_init_is_run_once_in_each_child_before_its_first_batch(journal: Path) -> None:
    children = penstock.Children(init=nursery.connect, maximum_invocations=2)
    with app_of(hell.handler, children).background() as engine:
        engine.put("orders", [("k", b"%d" % n) for n in range(6)])
        harness.until_idle(engine)
    starts = [pid for pid, _ in lines(journal, "I")]
    assert len(starts) == len(set(starts)) >= 3
    text = journal.read_text()
    for pid, _ in lines(journal, "C"):
        assert text.index(f"I {pid} ") < text.index(f"C {pid} ")


def test_what_a_child_logs_and_prints_is_passed_on(
    journal: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING), app_of(nursery.logs).background() as engine:
        engine.put("orders", [("k", b"1")])
        harness.until_idle(engine)
    assert ("shop", logging.WARNING, "logged 1") in caplog.record_tuples
    assert "printed 1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("at_import", "reason"),
    [
        ("raise LookupError('no database here')", "LookupError: no database here at .*fragile"),
        pytest.param("os._exit(3)", "it exited with code 3", marks=SLOW),
        pytest.param(
            "print('so far', flush=True); os.abort()",
            "killed by SIGABRT; its last lines: so far",
            marks=SLOW,
        ),
        pytest.param(
            "[os.write(n, b'rubbish' * 9) for n in range(3, 64) if is_open(n)]",
            "rubbish on its channel",
            marks=SLOW,
        ),
        pytest.param(
            "os.closerange(0, 64)", "it exited with code|it closed its channel", marks=SLOW
        ),
    ],
)
def test_a_child_that_cannot_import_is_named_and_not_spun(
    at_import: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = app_of(fragile(at_import, tmp_path, monkeypatch))
    with caplog.at_level(logging.ERROR, "penstock"), app.background() as engine:
        engine.put("orders", [("k", b"x")])
        until(lambda: bool(re.search(reason, engine.children()[0]["message"])))
        assert engine.children()[0]["state"] == "failing"
        begun = time.monotonic()
        until(lambda: caplog.text.count("did not start") >= 2)
        assert time.monotonic() - begun >= 0.5, "it is started again and again"
        counters = engine.snapshot()["mappings"][0]["counters"]
    assert counters["invocations"] == 0, "no attempt may be charged"
    assert re.search(reason, caplog.text)


def test_a_copy_that_an_import_forks_takes_no_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(fragile("os.fork()", tmp_path, monkeypatch))
    with app.background() as engine:
        engine.put("orders", [("k", b"%d" % n) for n in range(20)])
        harness.until_idle(engine, timeout_s=20)
        assert engine.snapshot()["mappings"][0]["counters"]["invocations"] == 20


@SLOW
def test_a_child_that_hangs_at_its_start_is_named_with_its_last_lines(
    journal: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    children = penstock.Children(init=nursery.wait_for_ever, start_timeout="3s")
    app = app_of(hell.handler, children, state=tmp_path / "state")
    says = "it was not ready within 3 s; its last lines: waiting for the database"
    with caplog.at_level(logging.ERROR, "penstock"), app.background() as engine:
        until(lambda: says in caplog.text)
        until(lambda: says in engine.children()[0]["message"])
        shown = subprocess.run(
            [sys.executable, "-m", "penstock", "why", "--state", str(tmp_path / "state")],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    assert "child process of slot 0: " in shown
    assert "failing" in shown or "starting" in shown


def test_children_that_die_one_after_the_other_are_slowed(
    journal: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(processes, "_CRASHES_FREE", 1)
    with caplog.at_level(logging.ERROR), app_of(hell.handler).background() as engine:
        engine.put("orders", [("k", b"dies_with_failure")])
        until(lambda: caplog.text.count("the next starts in") >= 2)
        assert "2 children of slot 0 died one after the other" in caplog.text
        until(lambda: engine.children()[0]["state"] == "failing")
        assert "died one after the other" in engine.children()[0]["message"]
    assert "the next starts in 0.2 s" in caplog.text
    assert "the next starts in 0.4 s" in caplog.text


@pytest.mark.parametrize("number", [errno.ENOSPC, pytest.param(errno.ENOSYS, marks=SLOW)])
def test_events_go_by_pipes_where_there_is_no_shared_memory(
    number: int, journal: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "memfd_create", refused, raising=False)
    app = app_of(hell.handler, batch_size=100)
    with caplog.at_level(logging.WARNING), app.background() as engine:
        engine.put("orders", [("k", b"%d" % n) for n in range(RECORDS)])
        harness.until_idle(engine)
    assert handled(journal) == [f"{n}" for n in range(RECORDS)]
    assert f"no shared memory can be had ([Errno {number}]" in caplog.text
    assert "events go to children by pipes" in caplog.text


IN_A_SPACE_OF_ITS_OWN = ["unshare", "--mount", "--", "sh", "-c"]
WITHOUT = "umount -l /dev/shm 2> /dev/null; mount -t tmpfs -o ro none /dev/shm"
TINY = "mount -t tmpfs -o size=4k none /dev/shm"
FULL = f"{TINY}; head -c 8192 /dev/zero > /dev/shm/full 2> /dev/null"


@SLOW
@pytest.mark.parametrize("shm", [WITHOUT, TINY, FULL], ids=["without", "tiny", "full"])
def test_what_is_mounted_for_shared_memory_does_not_matter(shm: str, journal: Path) -> None:
    if os.geteuid() != 0 or subprocess.run([*IN_A_SPACE_OF_ITS_OWN, TINY], check=False).returncode:
        pytest.skip("mounting takes rights that this user does not have")
    told = ran([*IN_A_SPACE_OF_ITS_OWN, f'{shm}; exec "$@"', "sh"])
    assert handled(journal) == [f"{n}" for n in range(RECORDS)]
    assert "pipes" not in told


@SLOW
def test_events_go_by_pipes_where_shared_memory_may_not_be_as_large(journal: Path) -> None:
    told = ran([], str(1024 * 1024))
    assert handled(journal) == [f"{n}" for n in range(RECORDS)]
    assert "no shared memory can be had ([Errno 27] File too large)" in told


def test_what_a_child_cannot_import_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def local(event: Any, context: Any) -> None:
        """Cannot be found by its name."""

    notebook = ModuleType("__main__")
    exec("def handler(event, context): pass", vars(notebook))
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    for handler, reason in (
        (local, "it is local to another function"),
        (lambda event, context: None, "a lambda has no name"),
        (partial(hell.handler), "it has no name"),
        (notebook.handler, "it is of no file"),
    ):
        app = penstock.App(state=":memory:", streams={"orders": 1}, pool="process")
        with pytest.raises(penstock.ConfigurationError, match=reason) as refused:
            app.on("stream:orders", starting_position="LATEST")(handler)
        assert refused.value.code == "PS117"
        assert "test_children.py" in str(refused.value.where)
        assert app.mappings == ()


@pytest.mark.parametrize("arguments", [["-c"], ["-"]])
def test_what_a_program_without_a_file_defines_is_refused(arguments: list[str]) -> None:
    text = (
        "import penstock\n"
        "app = penstock.App(state=':memory:', streams={'orders': 1}, pool='process')\n"
        "@app.on('stream:orders', starting_position='LATEST')\n"
        "def handler(event, context): pass\n"
    )
    by_argument = arguments == ["-c"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments, *([text] if by_argument else [])],
        input=None if by_argument else text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "__main__.handler cannot run in a process of its own: it is of no file" in done.stderr


def app_of(
    handler: Callable[..., Any],
    children: penstock.Children | None = None,
    *,
    state: Path | str = ":memory:",
    **options: Any,
) -> penstock.App:
    """Give an app with one child that runs one handler."""
    app = penstock.App(
        state=state, streams={"orders": 1}, pool="process", workers=1, children=children
    )
    options = {"batch_size": 1} | options
    app.add(penstock.Mapping("stream:orders", handler, starting_position="TRIM_HORIZON", **options))
    return app


def fragile(at_import: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Give a handler of a module that does something when a child imports it."""
    (folder / "fragile.py").write_text(FRAGILE.format(at_import=at_import))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "fragile", raising=False)
    monkeypatch.delenv("FRAGILE", raising=False)
    handler: Callable[..., Any] = importlib.import_module("fragile").handler
    monkeypatch.setenv("FRAGILE", "1")
    return handler


def ran(before: list[str], *arguments: str) -> str:
    """Run this module as a program; give what it logged."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "tests.python.integration.test_children", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def _main() -> None:
    if len(sys.argv) > 1:
        most = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    with app_of(hell.handler, batch_size=100).background() as engine:
        engine.put("orders", [("k", b"%d" % n) for n in range(RECORDS)])
        harness.until_idle(engine)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    _main()
