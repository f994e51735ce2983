"""Resolves credentials when the engine asks for them.

Rules: one thread, with nothing else to do; an errand is always finished, with "done" or
with a fault's word and a sentence; between errands, access that is about to expire is renewed.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Final

from penstock.errors import PenstockError, SourceError
from penstock.workers import WAIT_SECONDS, main_thread_gone

if TYPE_CHECKING:
    from penstock._bridge import Runtime
    from penstock.access import Access

log = logging.getLogger("penstock.access")

KIND: Final = "access"
_FAULTS: Final = {
    "PS201": "invalid",
    "PS202": "denied",
    "PS203": "not_found",
    "PS204": "denied",
    "PS205": "transient",
}


class Errands:
    """The thread that serves errands."""

    def __init__(self, runtime: Runtime, access: Access) -> None:
        self._runtime = runtime
        self._access = access
        self._thread = threading.Thread(target=self._loop, name="penstock-errands")

    def start(self) -> None:
        """Start serving."""
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
                    self._serve(errand[0], errand[2])
                self._access.renew_due()
            except PenstockError:
                if not self._runtime.closed:
                    log.exception("an errand could not be reported")
                    continue
                return

    def _serve(self, errand: int, document: bytes) -> None:
        outcome, detail = "done", None
        try:
            self._access.renew(str(json.loads(document)["access"]))
        except SourceError as error:
            outcome = _FAULTS.get(error.code, "transient")
            detail = json.dumps({"message": str(error)}).encode()
        except Exception as error:  # an errand must be finished whatever botocore does
            log.exception("access could not be renewed")
            outcome, detail = "transient", json.dumps({"message": str(error)}).encode()
        self._runtime.finish_errand(errand, outcome, detail)
