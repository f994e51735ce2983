"""Runs plain functions on threads.

Rules: one thread is one slot; threads are ordinary ones, so they let the interpreter exit by
leaving; a thread cannot be killed, so a call that ran too long is reported as timed out whatever it
answers later, when it has ended: until then its lane waits, or a key would run twice at once.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from penstock.errors import ForkedProcess, PenstockError, RuntimeClosed
from penstock.handlers import THREADS
from penstock.workers import WAIT_SECONDS, Running, Shop, main_thread_gone
from penstock.workers.calls import call

if TYPE_CHECKING:
    from penstock._bridge import Invocation

log = logging.getLogger("penstock.workers")


class ThreadPool:
    """Some threads, each taking one invocation after the other."""

    def __init__(self, shop: Shop, slots: int) -> None:
        self._shop = shop
        self._threads = [
            threading.Thread(target=self._loop, args=(slot,), name=f"penstock-worker-{slot}")
            for slot in range(slots)
        ]

    def start(self) -> None:
        """Start taking invocations."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> bool:
        """Wait until the threads have left; whether all did."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is None:
                continue  # starting failed before it was this pool's turn
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _loop(self, slot: int) -> None:
        runtime = self._shop.runtime
        while not (runtime.closed or main_thread_gone()):
            try:
                invocation = runtime.next_invocation(THREADS, slot, WAIT_SECONDS)
                if invocation is not None:
                    perform(self._shop, invocation)
            except (RuntimeClosed, ForkedProcess):
                return
            except PenstockError as error:
                log.warning("an invocation could not be reported: %s", error)
            invocation = None  # a kept invocation keeps its records in memory


def perform(shop: Shop, invocation: Invocation) -> None:
    """Run one invocation and report how it ended."""
    target = shop.target(invocation)
    context = shop.context(invocation, target)
    key = (invocation.mapping, invocation.id)
    shop.running[key] = Running(
        target=target, shard=invocation.shard, since=time.time(), thread=threading.get_ident()
    )
    started = time.perf_counter()
    try:
        ending = call(shop, invocation, context)
    finally:
        shop.running.pop(key, None)
    shop.durations.add(time.perf_counter() - started)
    shop.runtime.complete(invocation.mapping, invocation.id, *ending)
