"""The unsafe files of the extension touch no memory that is not theirs, and leave none unwritten.

valgrind watches a program that goes through all of them. What it says of the interpreter's own
tricks with values is left aside: of those only what happens below the extension counts. A touch of
memory out of bounds, and a byte that the kernel is told and nobody wrote, count wherever they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.environment import clean_environment

ROOT = Path(__file__).resolve().parents[3]
INTERPRETERS_OWN = {"UninitCondition", "UninitValue"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("what", ["events", "frames"])
def test_memory_is_only_touched_where_it_is_ours(what: str, tmp_path: Path) -> None:
    done, mistakes = watched(what, tmp_path)
    assert done.returncode == 0, done.stderr
    assert not mistakes, "\n\n".join(mistakes)


def test_the_watch_sees_mistakes(tmp_path: Path) -> None:
    _, mistakes = watched("mistakes", tmp_path)
    kinds = {mistake.partition("\n")[0] for mistake in mistakes}
    assert kinds == {"SyscallParam", "InvalidRead"}, mistakes


def watched(what: str, home: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the program, and give what it did wrong."""
    assert shutil.which("valgrind"), "valgrind is missing: apt-get install valgrind"
    report = home / "report.xml"
    command = ["valgrind", "--quiet", "--xml=yes", f"--xml-file={report}", "--num-callers=30"]
    command += [sys.executable, "-W", "ignore", "-m", "tests.python.memory.program", what]
    # Every object is a block of its own, so that its ends are watched too.
    environment = clean_environment() | {"PYTHONMALLOC": "malloc"}
    environment |= {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    return done, list(mistakes_in(report))


def mistakes_in(report: Path) -> Iterator[str]:
    """Give each error that counts: its kind, and where it happened."""
    for error in ET.parse(report).getroot().iter("error"):
        kind = error.findtext("kind", "")
        frames = list(error.iter("frame"))
        ours = any("_penstock" in frame.findtext("obj", "") for frame in frames)
        # A report in XML tells of leaks too, and the interpreter leaves much behind when it ends.
        if not kind.startswith("Leak_") and (ours or kind not in INTERPRETERS_OWN):
            places = (f"  {one.findtext('fn', '?')} in {one.findtext('obj')}" for one in frames)
            yield "\n".join([kind, *places])
