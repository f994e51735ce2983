"""Runs an engine in the foreground: signals, the end, and who is told about it.

Rules: signals are caught only in the main thread, and handed back as they were found; the first
SIGINT or SIGTERM drains and says what it waits for, the second aborts with exit code 130; a signal
handler only counts, since anything more could deadlock with the code it interrupts.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Literal

from penstock import durations
from penstock.engine import Engine
from penstock.plan import Planned
from penstock.report import Report
from penstock.wording import counted, words

log = logging.getLogger("penstock")

ABORTED: Final = 130
_LOOK_SECONDS: Final = 0.05
_SNAPSHOT_SECONDS: Final = 0.25
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

Until = Literal["idle"] | None


class Observer:
    """Is told how a run goes; does nothing by itself."""

    def plan(self, plan: list[Planned]) -> None:
        """Before the first fetch."""

    def tick(self, snapshot: dict[str, Any]) -> None:
        """Four times a second."""

    def draining(self, reason: str) -> None:
        """When nothing new is started any more."""

    def may_end(self) -> bool:
        """Whether a run that ends when it is idle may end now."""
        return True

    def aborted(self) -> None:
        """Just before the process ends at once."""


class Supervisor:
    """One run of one engine."""

    def __init__(
        self,
        engine: Engine,
        *,
        until: Until = None,
        max_time: durations.Duration | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._until = until
        self._max_seconds = (
            None if max_time is None else durations.seconds(max_time, option="max_time")
        )
        self._observer = observer or Observer()
        self._signals: list[int] = []
        self._looked = 0.0

    def run(self) -> Report:
        """Run until a signal, idleness or the time is up; then drain and report."""
        with self._caught_signals():
            try:
                self._engine.start(self._observer.plan)
                reason = self._watch()
                # Whoever reads of the first signal and sends a second one is to be heard.
                heard = len(self._signals)
                self._observer.draining(reason)
                log.info("draining: %s", reason)
                return self._drain(heard)
            finally:
                self._engine.close()

    def _watch(self) -> str:
        started = time.monotonic()
        while True:
            if self._signals:
                return f"got {signal.Signals(self._signals[0]).name}{self._waits_for()}"
            if self._max_seconds is not None and time.monotonic() - started >= self._max_seconds:
                return "the time is up"
            snapshot = self._look()
            if snapshot is not None and self._until == "idle" and self._is_idle(snapshot):
                return "everything is read and settled"
            time.sleep(_LOOK_SECONDS)

    def _drain(self, heard: int) -> Report:
        result: list[Report | BaseException] = []

        def drain() -> None:
            try:
                result.append(self._engine.drain())
            except BaseException as error:  # noqa: BLE001 -- raised again below
                result.append(error)

        thread = threading.Thread(target=drain, name="penstock-drain")
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK_SECONDS)
            self._look()
            if len(self._signals) > max(heard, 1):
                self._abort()
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    def _look(self) -> dict[str, Any] | None:
        if time.monotonic() - self._looked < _SNAPSHOT_SECONDS:
            return None
        self._looked = time.monotonic()
        snapshot = self._engine.snapshot()
        self._observer.tick(snapshot)
        return snapshot

    def _is_idle(self, snapshot: dict[str, Any]) -> bool:
        if not self._observer.may_end():
            return False
        mappings = snapshot["mappings"]
        rest = {"paused", "failing", "stopped"}
        return len(mappings) == len(self._engine.prepared) and all(
            mapping["idle"] or mapping["state"] in rest for mapping in mappings
        )

    def _waits_for(self) -> str:
        running = self._engine.running()
        if not running:
            return ""
        oldest = max(running, key=lambda each: float(each["seconds"]))
        return (
            f"; waiting for {counted(len(running), 'invocation')}, the oldest of "
            f"{oldest['function']} for {words(oldest['seconds'])} (once more to abort)"
        )

    @contextmanager
    def _caught_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self._count) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _count(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _abort(self) -> None:
        self._observer.aborted()
        log.warning("aborted: what was running stays unsettled and will be read again")
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(ABORTED)  # handlers on threads cannot be stopped in any other way
