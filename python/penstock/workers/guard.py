"""Keeps a process that kills the groups of children when this one ends without doing so.

Rules: a child has a group of its own, and what it starts belongs to it; a group is told before
anything can be started in it; a guard that somebody ended is replaced; without one, children still
end with their parent, but what they started does not.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Final

log = logging.getLogger("penstock.workers")

_PROGRAM: Final = "penstock.workers._guard"
_END_SECONDS: Final = 1.0


class Guard:
    """The groups of one pool, and the process that knows them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The guard's process id, while there is one."""
        process = self._process
        return None if process is None else process.pid

    def watch(self, group: int) -> None:
        """Kill this group if this process ends without `forget`."""
        with self._lock:
            self._groups.add(group)
            self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Leave this group alone: it is gone."""
        with self._lock:
            self._groups.discard(group)
            self._tell(f"-{group}\n")

    def end(self) -> None:
        """End the guard, which then kills what is still watched."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _tell(self, line: str) -> None:
        if self._process is not None and _written(self._process, line):
            return
        if self._process is not None:
            log.warning("the guard of child processes was gone; another is started")
            self._process.kill()
            _end(self._process)
            self._process = None
        if self._groups:
            self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes] | None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", _path(), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                env=self._environment,
                start_new_session=True,  # what is sent to the parent's group is not for it
            )
        except OSError as error:
            log.warning(
                "no guard of child processes can be started (%s): programs that handlers start "
                "may outlive this process if it is killed", error,
            )  # fmt: skip
            return None
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)  # one that was stopped holds nothing up
        _written(process, "".join(f"+{group}\n" for group in self._groups))
        return process


def _written(process: subprocess.Popen[bytes], text: str) -> bool:
    assert process.stdin is not None
    data = text.encode()
    try:
        return process.stdin.write(data) == len(data)
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _path() -> str:
    found = importlib.util.find_spec(_PROGRAM)
    assert found is not None
    assert found.origin is not None
    return found.origin
