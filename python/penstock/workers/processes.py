"""Runs plain functions in child processes: one child for each slot, and a thread that owns it.

Rules: a child is replaced between two batches, never within one; at the function's deadline it is
killed and the call counts as timed out; a child that dies within a call fails that call and nothing
else; a lane stays with the child that ran it, and with the next child of its slot, until that
cannot be started; a call that never reached its child costs no attempt; children that do not come
up, or die one after the other, are started again ever more slowly.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from penstock.errors import ForkedProcess, PenstockError, RuntimeClosed
from penstock.handlers import PROCESS, Function
from penstock.workers import WAIT_SECONDS, Running, Shop, main_thread_gone
from penstock.workers.calls import Ending, timed_out
from penstock.workers.children import Children
from penstock.workers.entry import check_found, entry_of
from penstock.workers.guard import Guard
from penstock.workers.process import ChildFailed, ChildProcess, ChildTimedOut

if TYPE_CHECKING:
    from penstock._bridge import Invocation

log = logging.getLogger("penstock.workers")

_SLOWEST_SECONDS: Final = 30.0
_CRASHES_FREE: Final = 40  # more than it takes to find one record in 10,000 by halves


@dataclass(slots=True, kw_only=True)
class Slot:
    """One place in the pool, and what is in it."""

    number: int
    child: ChildProcess | None = None
    state: str = "starting"
    since: float = field(default_factory=time.time)
    message: str = ""
    invocations: int = 0
    failed_starts: int = 0
    crashes: int = 0

    def turn(self, state: str, message: str = "") -> None:
        """Be in another state from now on."""
        self.state, self.message, self.since = state, message, time.time()

    def picture(self) -> dict[str, Any]:
        """What people are shown."""
        return {
            "slot": self.number,
            "pid": self.child.pid if self.child else None,
            "state": self.state,
            "since": self.since,
            "message": self.message,
        }


class ProcessPool:
    """Some children, each running one invocation after the other."""

    def __init__(self, shop: Shop, slots: int, children: Children, setup: dict[str, Any]) -> None:
        self._shop = shop
        self._children = children
        self._setup = setup
        self._leaving = threading.Event()
        # Slots whose lanes stay with them; the lock is held while the engine is told.
        self._crew = set(range(slots))
        self._crew_lock = threading.Lock()
        self._guard = Guard(children.variables())
        self._owners = slots
        self._slots = [Slot(number=number) for number in range(slots)]
        self._threads = [
            threading.Thread(target=self._own, args=(slot,), name=f"penstock-child-{slot.number}")
            for slot in self._slots
        ]

    def start(self) -> None:
        """Start the children, all at once, and take invocations as they are ready."""
        self._shop.runtime.keep_lanes(PROCESS, sorted(self._crew))
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> bool:
        """Kill what still runs and wait until the threads have left; whether all did."""
        self._leaving.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def pictures(self) -> list[dict[str, Any]]:
        """Give the state of every slot."""
        return [slot.picture() for slot in self._slots]

    def _over(self) -> bool:
        return self._leaving.is_set() or main_thread_gone() or self._shop.runtime.closed

    def _own(self, slot: Slot) -> None:
        # A child dies with the thread that started it, so one thread does both.
        try:
            while not self._over():
                if slot.child is None and not self._fill(slot):
                    continue
                self._take(slot)
        except (RuntimeClosed, ForkedProcess):
            pass
        finally:
            slot.turn("ended")
            child, slot.child = slot.child, None
            if child is not None:
                child.quit()
            self._leave()

    def _leave(self) -> None:
        with self._crew_lock:
            self._owners -= 1
            last = self._owners == 0
        if last:
            self._guard.end()

    def _fill(self, slot: Slot) -> bool:
        slot.turn("starting")
        try:
            child = ChildProcess(self._children.variables(), self._guard)
        except ChildFailed as error:
            self._not_started(slot, str(error))
            return False
        try:
            child.set_up(self._setup, self._children.start_seconds)
        except ChildFailed as error:
            child.kill()
            self._not_started(slot, str(error))
            return False
        slot.child, slot.invocations, slot.failed_starts = child, 0, 0
        self._keep_lanes(slot)
        slot.turn("ready")
        return True

    def _not_started(self, slot: Slot, reason: str) -> None:
        slot.failed_starts += 1
        wait = min(0.5 * 2 ** (slot.failed_starts - 1), _SLOWEST_SECONDS)
        slot.turn("failing", reason)
        log.error(
            "the child of slot %d did not start: %s; it is tried again in %g s",
            slot.number, reason, wait,
        )  # fmt: skip
        self._free_lanes(slot)
        self._rest(wait)

    def _take(self, slot: Slot) -> None:
        invocation = self._shop.runtime.next_invocation(PROCESS, slot.number, WAIT_SECONDS)
        if invocation is None:
            return
        slot.turn("busy")
        key = (invocation.mapping, invocation.id)
        target = self._shop.target(invocation)
        assert slot.child is not None
        self._shop.running[key] = Running(
            target=target, shard=invocation.shard, since=time.time(), child=slot.child.pid
        )
        started = time.perf_counter()
        try:
            ending = self._call(slot, slot.child, invocation)
        finally:
            self._shop.running.pop(key, None)
        if ending is None:
            return  # the engine was closed under the call: its records stay unsettled
        self._shop.durations.add(time.perf_counter() - started)
        if slot.child is not None:
            slot.turn("ready")
        try:
            self._shop.runtime.complete(invocation.mapping, invocation.id, *ending)
        except RuntimeClosed:
            raise
        except PenstockError as error:
            log.warning("an invocation could not be reported: %s", error)
        self._slow_down(slot)

    def _call(self, slot: Slot, child: ChildProcess, invocation: Invocation) -> Ending | None:
        try:
            child.hand_over(invocation, self._shop.target(invocation))
        except ChildFailed as error:
            log.warning("the child of slot %d was gone: %s", slot.number, error)
            self._drop(slot)
            return ("rejected", None, None, f"its child was gone: {error}")
        shop = self._shop
        manual = shop.manual_clock
        seconds = float("inf") if manual else max(invocation.remaining_ms, 0) / 1000
        try:
            answered = child.answer(
                time.monotonic() + seconds,
                lambda: self._over() or (manual and invocation.remaining_ms <= 0),
            )
        except ChildTimedOut:
            self._drop(slot)
            if self._over():
                return None
            return timed_out(shop, shop.context(invocation, shop.target(invocation)))
        except ChildFailed as error:
            return self._crashed(slot, child.pid, str(error), invocation)
        slot.crashes = 0
        self._recycle(slot, answered.memory)
        return answered.ending

    def _crashed(self, slot: Slot, pid: int, reason: str, invocation: Invocation) -> Ending | None:
        self._drop(slot)
        if self._over():
            return None
        slot.crashes += 1
        shop = self._shop
        context = shop.context(invocation, shop.target(invocation))
        message = f"the child {pid} ended within the call: {reason}"
        shop.failures.told(context, "HandlerCrash", message.replace(str(pid), "process"))
        return ("crashed", None, "HandlerCrash", message)

    def _recycle(self, slot: Slot, memory: int) -> None:
        slot.invocations += 1
        most, held = self._children.maximum_invocations, self._children.maximum_memory
        if most is not None and slot.invocations >= most:
            reason = f"it has run {slot.invocations} invocations"
        elif held is not None and memory > held * 1024 * 1024:
            reason = f"it holds {memory // (1024 * 1024)} MB"
        else:
            return
        log.info("the child of slot %d is replaced: %s", slot.number, reason)
        child, slot.child = slot.child, None
        if child is not None:
            child.quit()

    def _drop(self, slot: Slot) -> None:
        child, slot.child = slot.child, None
        if child is not None:
            child.kill()

    def _slow_down(self, slot: Slot) -> None:
        beyond = slot.crashes - _CRASHES_FREE
        if beyond > 0:
            wait = min(0.1 * 2**beyond, _SLOWEST_SECONDS)
            slot.turn("failing", f"{slot.crashes} children died one after the other")
            log.error(
                "%d children of slot %d died one after the other; the next starts in %g s",
                slot.crashes, slot.number, wait,
            )  # fmt: skip
            self._free_lanes(slot)
            self._rest(wait)

    def _keep_lanes(self, slot: Slot) -> None:
        with self._crew_lock:
            if slot.number not in self._crew:
                self._crew.add(slot.number)
                self._shop.runtime.keep_lanes(PROCESS, sorted(self._crew))

    def _free_lanes(self, slot: Slot) -> None:
        """Let others run what waits for a slot that has no child for a while."""
        with self._crew_lock:
            if slot.number in self._crew:
                self._crew.remove(slot.number)
                self._shop.runtime.keep_lanes(PROCESS, sorted(self._crew))

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._over() and (left := until - time.monotonic()) > 0:
            self._leaving.wait(min(left, WAIT_SECONDS))


def make_setup(shop: Shop, functions: Iterable[Function], children: Children) -> dict[str, Any]:
    """Say to children what they must know before the first call, in values of JSON."""
    told = {}
    for function in functions:
        if function.pool == PROCESS:
            entry = entry_of(function.handler)
            check_found(function.handler, entry)
            told[function.name] = {
                "entry": asdict(entry),
                "version": function.version,
                "memory_size": function.memory_size,
            }
    init = children.init_entry()
    return {
        "path": sys.path,
        "log_level": logging.getLogger("penstock").getEffectiveLevel(),
        "lambda_environment": shop.environment is not None,
        "log_stream": shop.log_stream,
        "init": None if init is None else asdict(init),
        "functions": told,
    }
