"""Runs in a child process: imports the handlers once, then answers one call after the other.

Rules: no runtime is started here; a child lives no longer than its parent; nothing but the loop
below speaks on the channel, and a copy of the process that a handler forked says nothing at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
import traceback
import warnings
from types import FrameType
from typing import Any, Final

from penstock._penstock import Inbox, Invocation
from penstock.handlers import PROCESS, Function
from penstock.workers import Bench, Target
from penstock.workers.calls import Ending, call
from penstock.workers.entry import Entry
from penstock.workers.environment import LambdaEnvironment
from penstock.workers.failures import FailureLog, message_of
from penstock.workers.frames import BROKEN, CALL, ENDING, FRAME, LOG, QUIT, READY, Channel, Rubbish

_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG
_PAGE_BYTES: Final = resource.getpagesize()


class Child:
    """One child: its channel to the parent, and what it calls."""

    def __init__(self, channel: Channel, inbox: Inbox) -> None:
        self._channel = channel
        self._inbox = inbox
        self._pid = os.getpid()
        self._functions: dict[str, Function] = {}
        self._speaking = threading.Lock()

    def prepare(self, setup: dict[str, Any]) -> Bench:
        """Import everything, as the parent says."""
        sys.path[:] = setup["path"]
        root = logging.getLogger()
        root.handlers = [ChannelHandler(self)]
        root.setLevel(setup["log_level"])
        told = setup["functions"].items()
        self._functions = {name: _function(name, function) for name, function in told}
        environment = None
        if setup["lambda_environment"]:
            environment = LambdaEnvironment(self._functions.values(), setup["log_stream"])
            environment.install()
        if setup["init"] is not None:
            Entry(**setup["init"]).load()()
        return Bench(
            targets={},
            failures=FailureLog(),
            log_stream=setup["log_stream"],
            environment=environment,
        )

    def work(self, bench: Bench) -> None:
        """Answer calls until the parent says that it is enough, or is gone."""
        while True:
            message = self._channel.receive()
            if message is None or message[0] == QUIT:
                return
            invocation, target = self._called(*message)
            bench.targets[invocation.mapping, invocation.handler] = target
            context = bench.context(invocation, target)
            ending = call(bench, invocation, context)
            del invocation, context
            self.end_copy()
            self.say(ENDING, _encoded(ending))

    def _called(self, kind: bytes, payload: bytes) -> tuple[Invocation, Target]:
        head, _, frame = payload.partition(b"\n")
        if kind not in {CALL, FRAME}:
            raise Rubbish(f"a message of kind {kind!r} is none of the parent's")
        told = json.loads(head)
        inbox = self._inbox
        invocation = inbox.read(told["length"]) if kind == CALL else inbox.decode(frame)
        function = self._functions[invocation.handler]
        target = Target(function=function, function_arn=told["arn"], source=told["source"])
        return invocation, target

    def end_copy(self) -> None:
        """End this process if it is a fork that came back from user code, and not the child."""
        if os.getpid() != self._pid:
            os._exit(0)

    def say(self, kind: bytes, payload: bytes) -> None:
        """Send a message, from any thread."""
        if os.getpid() == self._pid:
            with self._speaking:
                self._channel.send(kind, payload)


class ChannelHandler(logging.Handler):
    """Sends log records to the parent, which logs them as its own."""

    def __init__(self, child: Child) -> None:
        super().__init__()
        self._child = child

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; what cannot be formatted is told by logging's own means."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 -- logging's rule: a bad message must not raise
            self.handleError(record)
            return
        told = {"name": record.name, "level": record.levelno, "text": text, "at": record.created}
        with contextlib.suppress(OSError):
            self._child.say(LOG, json.dumps(told).encode())


def main() -> None:
    """Serve the parent at the descriptor that the first argument names."""
    line, memory, size, parent = (int(argument) for argument in sys.argv[1:5])
    die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not ignored: programs that handlers start would inherit that.
        signal.signal(number, leave_to_parent)
        signal.siginterrupt(number, False)
    channel = Channel(socket.socket(fileno=line))
    os.set_inheritable(line, False)
    child = Child(channel, Inbox(memory if memory >= 0 else None, size))
    if memory >= 0:
        os.close(memory)  # the map stays, and handlers cannot write to it
    # The parent has said so already.
    warnings.filterwarnings("ignore", "this penstock is a debug build", RuntimeWarning)
    first = channel.receive()
    if first is None:
        return
    try:
        bench = child.prepare(json.loads(first[1]))
    except BaseException as error:  # noqa: BLE001 -- whatever an import raises is told
        child.say(BROKEN, json.dumps(_told(error)).encode())
        sys.exit(1)
    child.end_copy()  # an import may fork as a handler may
    child.say(READY, b"")
    with contextlib.suppress(OSError):
        child.work(bench)
    logging.shutdown()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(0)  # threads of handlers do not keep a child that is not needed


def leave_to_parent(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: who stops the service stops its parent, which lets its children finish."""


def die_with(parent: int) -> None:
    """Make this process end when its parent does, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _function(name: str, told: dict[str, Any]) -> Function:
    return Function(
        handler=Entry(**told["entry"]).load(),
        name=name,
        pool=PROCESS,
        memory_size=told["memory_size"],
        version=told["version"],
    )


def _encoded(ending: Ending) -> bytes:
    word, answer, kind, message = ending
    head = {"word": word, "kind": kind, "message": message, "memory": _memory()}
    if answer is None:
        return json.dumps(head).encode()
    return json.dumps(head).encode() + b"\n" + answer


def _memory() -> int:
    """Give the bytes that this process holds in memory."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 -- once for each batch
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _told(error: BaseException) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    users = [f for f in frames if "importlib" not in f.filename and "runpy" not in f.filename]
    where = f"{users[-1].filename}:{users[-1].lineno}" if users else ""
    return {"kind": type(error).__qualname__, "message": message_of(error), "where": where}


if __name__ == "__main__":
    main()
