"""Counts what comes to a handler, and what the process spent while it came.

Counting begins after a quarter of the records, so that neither start-up nor the first touch of
memory is in it: what is measured is the steady state, of every program alike. With `DIGEST=1` in
the environment it writes down the events instead: what the drains deliver is compared before it
is timed.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import threading
import time
from typing import Any

EVENT_BYTES = 6 * 1024 * 1024
OVERHEAD_BYTES = 560


class Meter:
    """Counts records, and the CPU time of this process while they came.

    Between the first counted batch and the last it takes the length of each event and allocates
    nothing: what a handler allocates may call for a collection, which is the handler's cost.
    """

    def __init__(self, records: int) -> None:
        self.records = records
        self.seen = 0
        self.batches = 0
        self.done = threading.Event()
        self._first: tuple[int, ...] = ()
        self._first_count = 0
        self._last: tuple[int, ...] = ()
        self._last_count = 0
        self._digest = hashlib.sha256() if os.environ.get("DIGEST") else None

    def take(self, event: dict[str, Any]) -> None:
        """Count one batch."""
        if self._digest is not None:
            self._write_down(event, self.records - self.seen)
        self.seen += len(event["Records"])
        self.batches += 1
        if not self._first_count and self.seen >= self.records // 4:
            self._first, self._first_count = spent(), self.seen
        if self.seen >= self.records and not self.done.is_set():
            self._last, self._last_count = spent(), self.seen
            self.done.set()

    def result(self) -> dict[str, Any]:
        """Give what a record cost: microseconds of CPU and of wall, page faults."""
        if self._digest is not None:
            return {"digest": self._digest.hexdigest()}
        counted = self._last_count - self._first_count
        if counted <= 0:
            raise RuntimeError("too few batches to measure anything")
        cpu, wall, faults = (
            (last - first) / counted for last, first in zip(self._last, self._first, strict=True)
        )
        return {
            "records": counted,
            "batches": self.batches,
            "cpu_us": cpu / 1e3,
            "wall_us": wall / 1e3,
            "faults": faults,
            "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }

    def _write_down(self, event: dict[str, Any], wanted: int) -> None:
        """Add the records to the digest: types and order of members, values to the last bit."""
        if self._digest is None or list(event) != ["Records"] or type(event["Records"]) is not list:
            raise TypeError("an event is a dict with a list of records")
        for record in event["Records"][: max(wanted, 0)]:
            if type(record) is not dict:
                raise TypeError("a record is a dict")
            self._digest.update(json.dumps(record).encode())


def spent() -> tuple[int, ...]:
    """Nanoseconds of CPU and of wall, and page faults, of this process until now."""
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return (time.process_time_ns(), time.perf_counter_ns(), faults)


def emit(result: dict[str, Any]) -> None:
    """Hand the result to the process that asked for it."""
    sys.stdout.write(json.dumps(result) + "\n")
