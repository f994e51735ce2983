"""Runs coroutines on one loop, in a thread of its own.

Rules: a feeder thread takes invocations, never more than there are permits; a coroutine that runs
too long is cancelled and counts as ended, and as timed out, when it has finished.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

from penstock.context import Context, current, finish
from penstock.errors import ForkedProcess, PenstockError, RuntimeClosed
from penstock.handlers import AIO
from penstock.workers import WAIT_SECONDS, Running, Shop, main_thread_gone
from penstock.workers.answers import UnusableAnswer, encode_answer
from penstock.workers.calls import Ending, raised, timed_out, unusable

if TYPE_CHECKING:
    from penstock._bridge import Invocation

log = logging.getLogger("penstock.workers")


class LoopPool:
    """One event loop and the thread that feeds it."""

    def __init__(self, shop: Shop, permits: int) -> None:
        self._shop = shop
        self._free = list(range(permits))
        self._permits = threading.Semaphore(permits)
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._over = False
        self._runner = threading.Thread(target=self._run, name="penstock-loop")
        self._feeder = threading.Thread(target=self._feed, name="penstock-feeder")

    def start(self) -> None:
        """Start taking invocations."""
        self._runner.start()
        self._feeder.start()

    def join(self, timeout: float) -> bool:
        """Wait until both threads have left; whether they did."""
        if self._runner.ident is None:  # starting failed before it was this pool's turn
            self._loop.close()
            return True
        deadline = time.monotonic() + timeout
        self._feeder.join(timeout)
        self._runner.join(max(0.0, deadline - time.monotonic()))
        return not (self._feeder.is_alive() or self._runner.is_alive())

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._over:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                log.error("a task of a handler asked the program to exit; it goes on")
            else:
                if not self._over:
                    log.error("a handler stopped the loop that coroutines share; it goes on")
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _feed(self) -> None:
        runtime = self._shop.runtime
        try:
            while not (runtime.closed or main_thread_gone()):
                if not self._permits.acquire(timeout=WAIT_SECONDS):
                    continue
                slot = self._free.pop()
                invocation = runtime.next_invocation(AIO, slot, WAIT_SECONDS)
                if invocation is None:
                    self._give_back(slot)
                    continue
                self._loop.call_soon_threadsafe(self._begin, invocation, slot)
        except (RuntimeClosed, ForkedProcess):
            pass
        finally:
            self._loop.call_soon_threadsafe(self._finish)

    def _begin(self, invocation: Invocation, slot: int) -> None:
        task = self._loop.create_task(self._perform(invocation, slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _finish(self) -> None:
        self._leaving = True
        waiting = asyncio.gather(*self._tasks, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        waiting.add_done_callback(lambda _: self._end())

    def _end(self) -> None:
        self._over = True
        self._loop.stop()

    def _give_back(self, slot: int) -> None:
        self._free.append(slot)
        self._permits.release()

    async def _perform(self, invocation: Invocation, slot: int) -> None:
        shop = self._shop
        target = shop.target(invocation)
        context = shop.context(invocation, target)
        key = (invocation.mapping, invocation.id)
        shop.running[key] = Running(
            target=target, shard=invocation.shard, since=time.time(), task=asyncio.current_task()
        )
        started = time.perf_counter()
        try:
            ending = await call(shop, invocation, context)
            if self._leaving:
                return  # cancelled by the end of the program: its records stay unsettled
            shop.durations.add(time.perf_counter() - started)
            shop.runtime.complete(invocation.mapping, invocation.id, *ending)
        except RuntimeClosed:
            pass  # closed under a running handler: its records stay unsettled
        except PenstockError as error:
            log.warning("an invocation could not be reported: %s", error)
        finally:
            shop.running.pop(key, None)
            self._give_back(slot)


async def call(shop: Shop, invocation: Invocation, context: Context) -> Ending:
    """Call a coroutine handler; never raises."""
    function = shop.target(invocation).function
    current.set(context)  # this task's own context: nothing to reset
    scope = asyncio.timeout(max(invocation.remaining_ms, 0) / 1000)
    try:
        if shop.environment is not None:
            shop.environment.enter(context)
        async with scope:
            answer = await function.handler(invocation.event(), context)
        ending: Ending = ("returned", encode_answer(answer), None, None)
    except UnusableAnswer as error:
        ending = unusable(shop, context, error)
    except BaseException as error:  # noqa: BLE001 -- sys.exit in a handler fails its batch only
        ending = ("raised", None, None, None)
        if not scope.expired():
            ending = raised(shop, context, error)
    finish(context)
    return timed_out(shop, context) if scope.expired() else ending
