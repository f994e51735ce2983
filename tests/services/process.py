"""Runs one server as a child process, from the first answered call to its awaited exit.

A server says on its standard output, as one line of JSON, on which port of 127.0.0.1 it listens,
and leaves when its standard input is closed: so it dies with the test that started it, whatever
ends that test. Ready means that it lives and has answered a real call.
"""

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.services.environment import clean_environment

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 5.0
_KEPT_LINES = 200


class ServiceError(Exception):
    """A server that did not start, or did not live; carries the last of what it said."""


class Child:
    """A started server: its output, its life, its end."""

    def __init__(self, name: str, command: Sequence[str], cwd: Path | None, env: Mapping[str, str]):
        self.name = name
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._facts: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=clean_environment() | dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._pump = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def fact(self, accept: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        """Waits for a line of JSON that is accepted."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                fact = self._facts.get(timeout=0.05)
                if accept(fact):
                    return fact
                continue
            self.check()
        raise ServiceError(self._tell("did not say its port"))

    def wait_until(self, answers: Callable[[], object]) -> None:
        """Waits until a real call is answered and the process is the one that lives."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            self.check()
            try:
                answers()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ServiceError(self._tell("answered no call")) from error
                time.sleep(0.02)
            else:
                self.check()
                return

    def check(self) -> None:
        """Raises when the process has ended."""
        code = self._process.poll()
        if code is not None:
            self._pump.join(timeout=1)
            raise ServiceError(self._tell(f"ended with code {code}"))

    def stop(self, within_s: float) -> None:
        """Ends the process by its pid and waits for its exit; kills it when it takes too long."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=STOP_WITHIN_S)
        # A grandchild may hold the pipe open; the lines it would add concern nobody any more.
        self._pump.join(timeout=1)
        if self._process.stdout is not None and not self._pump.is_alive():
            self._process.stdout.close()

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        for line in self._process.stdout:
            self._lines.append(line.rstrip("\n"))
            if line.startswith("{"):
                with contextlib.suppress(json.JSONDecodeError):
                    self._facts.put(json.loads(line))

    def _tell(self, what: str) -> str:
        said = "\n".join(self._lines) or "(nothing)"
        return f"{self.name} {what}; it said:\n{said}"


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stop_within_s: float = STOP_WITHIN_S,
) -> Iterator[Child]:
    """Starts a server and stops it at the end."""
    child = Child(name, command, cwd, env or {})
    try:
        yield child
    finally:
        child.stop(stop_within_s)
