"""Checks what a second signal does, whenever it comes."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from penstock.supervise import Observer, Supervisor


class Draining:
    """An engine with nothing to do whose drain ends when it is told to."""

    prepared: tuple[object, ...] = ()

    def __init__(self) -> None:
        self.drained = threading.Event()

    def start(self, _plan: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def running(self) -> list[dict[str, Any]]:
        return []

    def snapshot(self) -> dict[str, Any]:
        return {"mappings": []}

    def drain(self) -> str:
        assert self.drained.wait(30), "the second signal was not heard"
        return "report"

    def close(self) -> None:
        pass


class Impatient(Observer):
    """Sends a second signal as soon as it reads of the first."""

    def draining(self, reason: str) -> None:
        assert reason == "got SIGINT"
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_signal_is_heard_that_comes_while_the_first_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine: Any = Draining()
    aborts: list[bool] = []

    def abort(_self: Supervisor) -> None:
        aborts.append(True)
        engine.drained.set()

    monkeypatch.setattr(Supervisor, "_abort", abort)
    Supervisor(engine, observer=Impatient()).run()
    assert aborts
