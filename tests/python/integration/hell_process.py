"""Harm that a process of its own contains: it ends, hangs or is left in a bad way."""

from __future__ import annotations

import contextlib
import ctypes
import json
import locale
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_LOCK: Final = threading.Lock()
_HELD: Final[list[Any]] = []


def dies_with_success(_: Any) -> Any:
    os._exit(0)


def dies_with_failure(_: Any) -> Any:
    os._exit(1)


def dies_of_a_segfault(_: Any) -> Any:
    ctypes.string_at(0)


def dies_killed(_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_aborted(_: Any) -> Any:
    os.abort()


def dies_of_the_stack(_: Any) -> Any:
    sys.setrecursionlimit(10**9)
    threading.stack_size(64 * 1024)
    _dig(0)


def runs_out_of_memory(_: Any) -> Any:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + (64 << 20)
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    held = []
    try:
        while True:
            held.append(bytearray(1 << 20))
    finally:
        held.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)


def becomes_another_program(_: Any) -> Any:
    os.execv("/bin/sleep", ["sleep", "60"])


def closes_every_descriptor(_: Any) -> Any:
    os.closerange(0, 1024)


def writes_on_every_descriptor(_: Any) -> Any:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"rubbish" * 10)
        except OSError:
            continue


def patches_modules(_: Any) -> Any:
    time.time = lambda: 0.0
    json.dumps = json.loads  # type: ignore[assignment]
    logging.getLogger().handlers.clear()


def sleeps(_: Any) -> Any:
    time.sleep(_seconds())


def holds_the_interpreter(_: Any) -> Any:
    ctypes.PyDLL(None).sleep(int(_seconds()))


def waits_for_itself(_: Any) -> Any:
    with _LOCK:
        _LOCK.acquire(timeout=_seconds())


def waits_for_a_program(_: Any) -> Any:
    subprocess.run(["sleep", "60"], check=True)


def stops_itself(_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSTOP)


def ignores_signals_and_sleeps(_: Any) -> Any:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(_seconds())


def shouts(_: Any) -> Any:
    with contextlib.suppress(OSError):  # another may have closed it
        sys.stdout.write("x" * 1_000_000)


def leaves_a_thread(_: Any) -> Any:
    threading.Thread(target=time.sleep, args=(1,)).start()


def leaves_a_thread_that_raises(_: Any) -> Any:
    threading.Thread(target=_raise).start()


def closes_its_output(_: Any) -> Any:
    os.closerange(1, 3)


def changes_the_locale(_: Any) -> Any:
    locale.setlocale(locale.LC_ALL, "C")
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()


def is_told_to_stop(_: Any) -> Any:
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)


def starts_a_program(_: Any) -> Any:
    _HELD.append(subprocess.Popen(["sleep", "60"]))


def leaks_descriptors(_: Any) -> Any:
    _HELD.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(100))


def logs_what_cannot_be_formatted(_: Any) -> Any:
    logging.getLogger("hell").error("%d", "no number")


def forks_and_returns_twice(_: Any) -> Any:
    os.fork()


def forks_a_copy_that_stays(_: Any) -> Any:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)


def forks_a_pool(_: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0.01,))
    process.start()
    process.join()


# Only a process of its own survives these.
DIE: Final[tuple[Callable[[Any], Any], ...]] = (
    dies_with_failure, dies_of_a_segfault, closes_every_descriptor, writes_on_every_descriptor,
    dies_with_success, dies_killed, dies_aborted, dies_of_the_stack, runs_out_of_memory,
    becomes_another_program, patches_modules,
)  # fmt: skip
HANG: Final[tuple[Callable[[Any], Any], ...]] = (
    holds_the_interpreter, sleeps, waits_for_itself, waits_for_a_program, stops_itself,
    ignores_signals_and_sleeps,
)  # fmt: skip
# Bad manners that fail no batch, but would be felt by all that share the process.
LIVE: Final[tuple[Callable[[Any], Any], ...]] = (
    closes_its_output, shouts, changes_the_locale, leaves_a_thread, leaves_a_thread_that_raises,
    is_told_to_stop, starts_a_program, leaks_descriptors, logs_what_cannot_be_formatted,
    forks_and_returns_twice, forks_a_copy_that_stays, forks_a_pool,
)  # fmt: skip


def _seconds() -> float:
    return float(os.environ.get("HELL_SECONDS", "60"))


def _raise() -> None:
    raise ValueError("in a thread of its own")


def _dig(depth: int) -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(_dig)(depth + 1)
