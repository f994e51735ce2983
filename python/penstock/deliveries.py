"""Delivers failure documents: takes them from the runtime, and gives each destination its turn.

Rules: each destination has a queue and a bounded number of threads of its own, so that one that is
dead or slow holds up no other; a document that has waited so long that nobody waits for it any more
is left alone; an errand is always finished. The threads of destinations are daemons: a document
that is cut off by the end of the program is not settled, and comes again.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from penstock.destinations import AwsTarget, Document, FunctionTarget, Target
from penstock.errors import PenstockError
from penstock.keepers import PREFIX, Keeper
from penstock.workers import WAIT_SECONDS, main_thread_gone

if TYPE_CHECKING:
    from penstock._bridge import Runtime
    from penstock.access import Access
    from penstock.documents import Prepared
    from penstock.identities import Identity

log = logging.getLogger("penstock.destinations")

KIND: Final = "deliver"
THREADS_MAX: Final = 4
WAITING_MAX: Final = 256
# The runtime waits for a minute; what would be delivered after that would be delivered twice.
_STALE_SECONDS: Final = 45.0


class Deliveries:
    """The thread that takes documents, and the destinations that it gives them to."""

    def __init__(
        self,
        runtime: Runtime,
        prepared: Sequence[Prepared],
        access: Access,
        keepers: dict[str, Keeper],
    ) -> None:
        self._runtime = runtime
        self._prepared = prepared
        self._known: dict[str, Prepared] = {}
        self._access = access
        self._keepers = keepers
        self._lines: dict[tuple[str, Identity | None], Line] = {}
        self._thread = threading.Thread(target=self._loop, name="penstock-deliveries")

    def start(self) -> None:
        """Start taking documents."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait until the thread has left; whether it did."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while not (self._runtime.closed or main_thread_gone()):
            try:
                errand = self._runtime.next_errand(WAIT_SECONDS, [KIND])
                if errand is not None:
                    self._take(errand[0], errand[2])
            except PenstockError:
                if not self._runtime.closed:
                    log.exception("an errand could not be taken")
                    continue
                return

    def _take(self, errand: int, text: bytes) -> None:
        try:
            document = Document.parse(text)
            line = self._line_of(document)
        except Exception as error:  # an errand must be finished whatever it is
            log.exception("a document could not be taken")
            said = f"a document could not be taken ({type(error).__name__}: {error})"
            finish(self._runtime, errand, ("invalid", said))
            return
        if not line.put(errand, document):
            said = f"{WAITING_MAX} documents wait for {document.destination} already"
            finish(self._runtime, errand, ("transient", said))

    def _line_of(self, document: Document) -> Line:
        mapping = self._mapping(document.mapping)
        name = document.destination
        own = name.startswith(PREFIX)
        identity = None if own else mapping.destination_identity
        line = self._lines.get((name, identity))
        if line is None:
            target: Target
            if identity is None:
                function = name.removeprefix(PREFIX)
                target = FunctionTarget(function, self._keepers[function])
            else:
                target = AwsTarget(name, identity, self._access)
            line = self._lines[name, identity] = Line(self._runtime, name, target)
        return line

    def _mapping(self, mapping: str) -> Prepared:
        """Find a mapping as it is now, or as it was: one that ends still delivers."""
        for each in list(self._prepared):
            if each.id == mapping:
                self._known[mapping] = each
        return self._known[mapping]


class Line:
    """The documents that wait for one destination, and the threads that hand them over."""

    def __init__(self, runtime: Runtime, name: str, target: Target) -> None:
        self._runtime = runtime
        self._name = name
        self._target = target
        self._waiting: queue.Queue[tuple[float, int, Document]] = queue.Queue(WAITING_MAX)
        self._threads = 0
        self._idle = 0
        self._lock = threading.Lock()

    def put(self, errand: int, document: Document) -> bool:
        """Let a document wait for its turn. False: too many do already."""
        try:
            self._waiting.put_nowait((time.monotonic(), errand, document))
        except queue.Full:
            return False
        with self._lock:
            if self._idle < self._waiting.qsize() and self._threads < THREADS_MAX:
                self._threads += 1
                name = f"penstock-deliver-{self._threads}"
                threading.Thread(target=self._loop, name=name, daemon=True).start()
        return True

    def _loop(self) -> None:
        while not (self._runtime.closed or main_thread_gone()):
            with self._lock:
                self._idle += 1
            try:
                since, errand, document = self._waiting.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                continue
            finally:
                with self._lock:
                    self._idle -= 1
            if time.monotonic() - since > _STALE_SECONDS:
                late = ("transient", f"no thread was free for {self._name}")
                finish(self._runtime, errand, late)
                continue
            finish(self._runtime, errand, self._target.deliver(document))


def finish(runtime: Runtime, errand: int, fault: tuple[str, str] | None) -> None:
    """Report what came of an errand; a runtime that has closed wants to hear of none."""
    try:
        if fault is None:
            runtime.finish_errand(errand, "done")
        else:
            runtime.finish_errand(errand, fault[0], json.dumps({"message": fault[1]}).encode())
    except PenstockError:
        if not runtime.closed:
            log.exception("an errand could not be reported")
