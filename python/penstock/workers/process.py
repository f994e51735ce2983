"""Starts one child process, hands it invocations, and ends it.

Rules: a child is a fresh program, never a fork of this one; whatever goes wrong with it is told
with its last lines; a child that is given up is killed with everything it started, and waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from penstock._bridge import Outbox
from penstock.workers import Target
from penstock.workers.calls import Ending
from penstock.workers.frames import (
    BROKEN,
    CALL,
    ENDING,
    FRAME,
    LOG,
    QUIT,
    READY,
    SETUP,
    Channel,
    Rubbish,
)
from penstock.workers.guard import Guard
from penstock.workers.output import Lines

if TYPE_CHECKING:
    from penstock._bridge import Invocation

log = logging.getLogger("penstock.workers")

# Room for the largest event and its table; pages that were never written to cost nothing.
MEMORY_BYTES: Final = 32 * 1024 * 1024
_SLICE_SECONDS: Final = 0.25
_QUIT_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.005


class ChildFailed(Exception):
    """A child could not start, or did not end a call; the text says why."""


class ChildTimedOut(Exception):
    """A call took longer than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How a call ended, and what the child holds in memory since, in bytes."""

    ending: Ending
    memory: int


class ChildProcess:
    """One child, from its start to its end."""

    def __init__(self, environment: dict[str, str], guard: Guard) -> None:
        ours, theirs = socket.socketpair()
        memory = _shared_memory()
        self._channel = Channel(ours)
        self.lines = Lines()
        self._outbox = Outbox(memory, MEMORY_BYTES if memory is not None else 0)
        descriptors = [theirs.fileno()] + ([memory] if memory is not None else [])
        numbers = (theirs.fileno(), -1 if memory is None else memory, MEMORY_BYTES, os.getpid())
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "penstock.workers._child", *map(str, numbers)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=descriptors,
                env=environment,
                process_group=0,
            )
        except OSError as error:
            ours.close()
            raise ChildFailed(f"a process cannot be started: {error}") from None
        finally:
            theirs.close()
            if memory is not None:
                os.close(memory)  # the map stays
        self._guard = guard
        guard.watch(self._process.pid)  # before it can start anything: it has no setup yet
        self.lines.watch(self._process.stdout, self._process.stderr)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def set_up(self, setup: dict[str, Any], seconds: float) -> None:
        """Tell the child what to import, and wait until it has."""
        try:
            self._channel.send(SETUP, json.dumps(setup).encode())
            kind, payload = self._await(time.monotonic() + seconds, lambda: False)
        except ChildTimedOut:
            raise ChildFailed(f"it was not ready within {seconds:g} s{self._last()}") from None
        except OSError:
            raise ChildFailed(self._death()) from None
        if kind == BROKEN:
            told = json.loads(payload)
            where = f" at {told['where']}" if told["where"] else ""
            raise ChildFailed(
                f"it cannot import its handlers: {told['kind']}: {told['message']}{where}"
            )
        if kind != READY:
            raise ChildFailed(f"it answered {kind!r} instead of being ready{self._last()}")

    def hand_over(self, invocation: Invocation, target: Target) -> None:
        """Give the child a call to make; ChildFailed says that it never began."""
        if self._ended():
            raise ChildFailed(self._death())
        length = self._outbox.write(invocation)
        try:
            call = {"length": length, "arn": target.function_arn, "source": target.source}
            if length is not None:
                self._channel.send(CALL, json.dumps(call).encode())
            else:
                frame = self._outbox.encode(invocation)
                self._channel.send(FRAME, json.dumps(call).encode() + b"\n" + frame)
        except OSError:
            raise ChildFailed(self._death()) from None

    def answer(self, deadline: float, given_up: Callable[[], bool]) -> Answered:
        """Wait until the call has ended; ChildTimedOut after `deadline` of the monotonic clock."""
        kind, payload = self._await(deadline, given_up)
        try:
            if kind != ENDING:
                raise Rubbish(f"{kind!r} is no answer")
            head, _, answer = payload.partition(b"\n")
            told = json.loads(head)
            ending = (told["word"], answer or None, told["kind"], told["message"])
            return Answered(ending=ending, memory=told["memory"])
        except (Rubbish, ValueError, KeyError, TypeError):
            raise ChildFailed(f"its answer is rubbish{self._last()}") from None

    def quit(self) -> None:
        """End a child that has nothing to do."""
        with contextlib.suppress(OSError):
            self._channel.send(QUIT)
        self._ended(_QUIT_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End a child whatever it does, with everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._guard.forget(self._process.pid)
        self._channel.close()
        self.lines.end()

    def _await(self, deadline: float, given_up: Callable[[], bool]) -> tuple[bytes, bytes]:
        while True:
            left = deadline - time.monotonic()
            try:
                message = self._channel.receive(max(0.0001, min(left, _SLICE_SECONDS)))
            except TimeoutError:
                # A grandchild may hold the line open, so its silence proves nothing.
                if self._ended():
                    raise ChildFailed(self._death()) from None
                if left <= 0 or given_up():
                    raise ChildTimedOut from None
                continue
            except Rubbish as error:
                raise ChildFailed(f"it wrote rubbish on its channel: {error}") from None
            except OSError:
                message = None
            if message is None:
                raise ChildFailed(self._death())
            if message[0] != LOG:
                return message
            _relay(message[1])

    def _death(self) -> str:
        if not self._ended(_QUIT_SECONDS):
            return f"it closed its channel and went on{self._last()}"
        code = self._code() or 0
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"it was killed by {signal.Signals(-code).name}{self._last()}"
        return f"it exited with code {code}{self._last()}"

    def _ended(self, seconds: float = 0.0) -> bool:
        """Whether the child ends within so long; its number stays taken until it is killed."""
        until = time.monotonic() + seconds
        while self._code() is None:
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _code(self) -> int | None:
        # A child that was waited for has given its number back, and with it that of its group:
        # killing the group after that could hit a stranger.
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return self._process.poll()
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            found = os.waitid(os.P_PID, self._process.pid, how)
        except ChildProcessError:  # somebody else has waited for it
            return self._process.poll()
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def _last(self) -> str:
        text = self.lines.last()
        return f"; its last lines: {text}" if text else ""


def _relay(payload: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        told = json.loads(payload)
        logger = logging.getLogger(told["name"])
        if logger.isEnabledFor(told["level"]):
            record = logger.makeRecord(
                told["name"], told["level"], "(child)", 0, "%s", (told["text"],), None
            )
            record.created = told["at"]
            logger.handle(record)


def _shared_memory() -> int | None:
    """Make a file without a name that cannot shrink; None where there is no such thing."""
    if not hasattr(os, "memfd_create"):
        return None
    descriptor = -1
    try:
        descriptor = os.memfd_create("penstock", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, MEMORY_BYTES)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        log.warning("no shared memory can be had (%s): events go to children by pipes", error)
        return None
    return descriptor
