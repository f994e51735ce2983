"""Tests whole programs: their ends, whatever they forget, and their forks."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.python.boundary.programs import FORGETS, MARK, PROGRAM, run_program
from tests.takes import least


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (FORGETS + MARK, 0),
        (FORGETS + "time.sleep(0.3)\n" + MARK, 0),
        (FORGETS + MARK + "raise SystemExit(7)", 7),
        (FORGETS + MARK + "raise ValueError('its own')", 1),
        (FORGETS + "engine.close()\n" + MARK, 0),
        (FORGETS + "engine.drain()\n" + MARK, 0),
        (FORGETS + "del engine\n" + MARK, 0),
        ("engine = app.engine()\n" + MARK, 0),
        (FORGETS + "other = app.engine(); other.start()\n" + MARK, 0),
        (FORGETS + MARK + "engine.close(); engine.close()", 0),
    ],
)
def test_a_program_ends_within_two_seconds_whatever_it_forgets(
    kind: str, ending: str, code: int
) -> None:
    def end() -> float:
        found, seconds, text = run_program(ending, kind=kind)
        assert found == code, text
        assert "Fatal Python error" not in text
        assert "panicked" not in text
        return seconds

    limit = 2 + 0.5  # half a second is the interpreter's own
    assert least(end, enough=limit, takes=3) <= limit


@pytest.mark.parametrize(
    "ending",
    ["", "engine.close(1.0)", "del engine", "raise SystemExit(0)", "import gc; gc.collect()"],
)
def test_a_bare_runtime_lets_a_program_end_within_two_seconds(ending: str) -> None:
    program = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from penstock._bridge import Runtime\n"
        "from tests.python.boundary.bench import document, filled, take\n"
        "engine = Runtime(document())\n"
        "filled(engine, [('a', b'1')] * 100)\n"
        "event = take(engine).event()\n"
        "import time; print(time.time(), flush=True)\n"
        f"{ending}\n"
    )

    def end() -> float:
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        over = time.time()
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""
        return over - float(ended.stdout)

    assert least(end, enough=2.5, takes=3) <= 2.5


def test_a_socket_is_gone_when_a_program_forgot_to_close(tmp_path: Path) -> None:
    program = PROGRAM.format(kind="def", body="pass", ending=FORGETS + "time.sleep(0.5)\n" + MARK)
    program = program.replace('":memory:"', repr(str(tmp_path)))

    def end() -> float:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        over = time.monotonic()
        assert not list(tmp_path.glob("*.sock"))
        return over - float(done.stdout.split()[1])

    assert least(end, enough=2.5, takes=3) <= 2.5


def test_a_background_engine_drains_when_its_block_ends() -> None:
    ending = (
        "with app.background() as engine:\n"
        "    engine.put('orders', [('a', b'1')] * 50)\n"
        "    while engine.snapshot()['mappings'][0]['counters']['polled'] < 50: time.sleep(0.01)\n"
        "print('succeeded', engine.report().succeeded)\n" + MARK
    )
    code, _, text = run_program(ending, body="time.sleep(0.2)")
    assert code == 0, text
    assert "succeeded 50" in text


def test_a_forked_child_cannot_use_the_engine_and_the_parent_goes_on() -> None:
    ending = (
        "import os\n"
        "with app.background() as engine:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        try:\n"
        "            engine.snapshot()\n"
        "        except penstock.ForkedProcess as error:\n"
        "            os._exit(42 if 'forked' in str(error) else 1)\n"
        "        os._exit(2)\n"
        "    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "    engine.put('orders', [('a', b'1')])\n"
        "    while engine.report().succeeded < 1: time.sleep(0.01)\n"
        "print('child', code)\n" + MARK
    )
    code, _, text = run_program(ending)
    assert code == 0, text
    assert "child 42" in text


def test_a_forked_child_may_leave_the_block() -> None:
    ending = (
        "import os, sys\n"
        "with app.background() as engine:\n"
        "    child = os.fork()\n"
        "if child:\n"
        "    print('child', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n" + MARK
    )
    code, _, text = run_program(ending)
    assert code == 0, text
    assert "child 0" in text


def test_importing_the_package_is_quick_and_loads_no_extension() -> None:
    def ratio() -> float:
        ours, theirs = _import("penstock, penstock.context"), _import("asyncio")
        return ours / theirs

    assert least(ratio, enough=1) <= 1, "it takes longer than a large module of the library's"


def _import(modules: str) -> float:
    """Import modules in a process of their own; give the seconds."""
    text = (
        f"import sys, time; begun = time.perf_counter(); import {modules};"
        "print(time.perf_counter() - begun, 'penstock._penstock' in sys.modules)"
    )
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.split()
    assert loaded == "False"
    return float(seconds)
