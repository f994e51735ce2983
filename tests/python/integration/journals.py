"""Reads what handlers noted in a journal, and looks for the processes that noted it."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

NAME = "HELL_JOURNAL"


def lines(journal: Path, kind: str) -> list[tuple[str, str]]:
    """Give the two words of every whole line of one kind."""
    text = journal.read_text().rpartition("\n")[0]
    split = [line.split(" ") for line in text.splitlines()]
    return [(first, second) for mark, first, second in split if mark == kind]


def handled(journal: Path) -> list[str]:
    """Give the marks of the records that were handled to the end, in order."""
    return [mark for _, mark in lines(journal, "H")]


def has_more(journal: Path, calls: int) -> bool:
    """Whether handlers were called more often than so many times."""
    return len(lines(journal, "C")) > calls


def assert_in_order(journal: Path, count: int) -> None:
    """Everything was handled, and what is of one key in the order in which it was put."""
    found = lines(journal, "H")
    assert {int(mark) for _, mark in found} == set(range(count))
    seen: dict[str, list[int]] = defaultdict(list)
    for key, mark in found:
        if int(mark) not in seen[key]:
            seen[key].append(int(mark))
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)


def running(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def family(journal: Path) -> set[int]:
    """Give every living process that was started to write to this journal, whoever started it."""
    mark = f"{NAME}={journal}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            named = mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if named and running(int(entry.name)):
            found.add(int(entry.name))
    return found


def shared_files(pid: int) -> tuple[set[str], set[str]]:
    """Give what a process has open or mapped of memory: files without a name, and with one."""
    base = Path(f"/proc/{pid}")
    names = {line.split(maxsplit=5)[-1] for line in (base / "maps").read_text().splitlines()}
    for entry in (base / "fd").iterdir():
        try:
            names.add(str(entry.readlink()))
        except OSError:
            continue
    return (
        {name for name in names if name.startswith("/memfd:penstock")},
        {name for name in names if name.startswith("/dev/shm/")},
    )
