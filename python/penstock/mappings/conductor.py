"""Brings mappings from one state to the next, in a thread of its own.

Rules: a state in between lasts until the engine shows that the change was made; nothing waits for a
slow mapping but that mapping; what fails is said in the mapping's last result and tried again; the
thread leaves with the program.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from typing import Final

from penstock.errors import PenstockError, RuntimeClosed
from penstock.mappings import kept as states
from penstock.mappings.kept import Kept
from penstock.mappings.service import Driver, MappingService

log = logging.getLogger("penstock.mappings")

_THREADS: Final = 4
_LOOK_FIRST_S: Final = 0.01
_LOOK_MOST_S: Final = 0.25
_AGAIN_S: Final = 5.0
_IDLE_S: Final = 0.5


class Conductor:
    """The threads that make mappings what their states say."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._service: MappingService | None = None
        self._due: list[tuple[float, str]] = []
        self._condition = threading.Condition()
        self._leaving = False
        self._acted: dict[str, Kept] = {}
        self._waits: dict[str, float] = {}
        self._busy: set[str] = set()
        self._threads: list[threading.Thread] = []

    def serve(self, service: MappingService) -> None:
        """Work for a service from here on; the threads are made when there is work."""
        self._service = service

    def stop(self, timeout: float) -> None:
        """Leave everything as it is; what is in between goes on after the next start."""
        with self._condition:
            self._leaving = True
            self._condition.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def wake(self, uuid: str, delay: float = 0.0) -> None:
        """Look at a mapping, now or a little later."""
        with self._condition:
            heapq.heappush(self._due, (time.monotonic() + delay, uuid))
            if not self._threads and not self._leaving:
                self._hire()
            self._condition.notify()

    def _hire(self) -> None:
        for place in range(_THREADS):
            name = f"penstock-mappings-{place}"
            self._threads.append(threading.Thread(target=self._work, name=name))
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (uuid := self._next()) is not None:
            try:
                self._step(uuid)
            except RuntimeClosed:
                return
            except Exception:
                log.exception("mapping %s could not be changed", uuid)
                self.wake(uuid, _AGAIN_S)
            finally:
                with self._condition:
                    self._busy.discard(uuid)

    def _next(self) -> str | None:
        """Wait for a mapping that is due; None to leave."""
        with self._condition:
            while not self._leaving:
                if not threading.main_thread().is_alive():
                    return None
                wait = _IDLE_S
                if self._due:
                    wait = self._due[0][0] - time.monotonic()
                    if wait <= 0:
                        uuid = heapq.heappop(self._due)[1]
                        if uuid in self._busy:
                            # Somebody is at it, and will look again when the state has changed.
                            heapq.heappush(self._due, (time.monotonic() + _LOOK_FIRST_S, uuid))
                            continue
                        self._busy.add(uuid)
                        return uuid
                self._condition.wait(min(wait, _IDLE_S))
        return None

    def _step(self, uuid: str) -> None:
        service = self._service
        mapping = service.kept(uuid) if service is not None else None
        if service is None or mapping is None:
            return
        if self._acted.get(uuid) is not mapping:
            if not self._act(service, mapping):
                return
            self._acted[uuid] = mapping
            self._waits[uuid] = _LOOK_FIRST_S
        if mapping.state in states.STABLE:
            self._forget(uuid)
            return
        picture = self._driver.pictures().get(uuid)
        if mapping.state == states.DELETING or not mapping.enabled:
            there = picture is None or (mapping.state != states.DELETING and picture.resting)
        else:
            there = picture is not None and picture.started
        if there:
            self._forget(uuid)
            if mapping.state == states.DELETING:
                self._driver.forget(uuid)
            service.arrive(mapping, None)
            return
        wait = self._waits[uuid]
        self._waits[uuid] = min(2 * wait, _LOOK_MOST_S)
        self.wake(uuid, wait)

    def _act(self, service: MappingService, mapping: Kept) -> bool:
        """Ask the engine for what the state wants; whether it did."""
        ready = service.take_ready(mapping.uuid)
        try:
            if mapping.state == states.DELETING:
                self._driver.end(mapping.uuid)
            else:
                self._driver.apply(mapping, ready)
        except RuntimeClosed:
            raise
        except PenstockError as error:
            problem = f"PROBLEM: {error.message}"
            if mapping.result != problem:
                log.warning("mapping %s: %s; it is tried again", mapping.uuid, error.message)
            if mapping.state != states.DELETING:
                service.arrive(mapping, problem)
            self.wake(mapping.uuid, _AGAIN_S)
            return False
        return True

    def _forget(self, uuid: str) -> None:
        self._acted.pop(uuid, None)
        self._waits.pop(uuid, None)
