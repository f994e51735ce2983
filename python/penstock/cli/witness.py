"""Watches the demo from the handler's side, and trusts nobody else.

Rules: a record counts as handled when the call that held it has returned; order is judged key by
key, by the number that the producer wrote into each record.
"""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from penstock.context import Context

POISON: Final = "poison"


class PoisonRecord(Exception):
    """The record that no handler can handle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the handler."""

    shard: str
    lane: int
    first: int
    last: int
    size: int
    attempt: int
    failed: bool


class Witness:
    """The demo's handler, and what it has seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, int] = {}
        self._calls: list[Call] = []
        self.handled: set[int] = set()
        self.repeated = 0
        self.disorder = 0
        self.poison_sequence: str | None = None
        self.first_failure: Call | None = None
        self.began = 0.0
        self.ended = 0.0

    def handler(self, event: dict[str, Any], context: Context) -> None:
        """Handle a batch, as a Lambda function would."""
        records = event["Records"]
        bodies = []
        failed = False
        for record in records:
            body = json.loads(base64.b64decode(record["kinesis"]["data"]))
            bodies.append(body)
            if body.get(POISON):
                failed = True
                self.poison_sequence = record["kinesis"]["sequenceNumber"]
        self._note(records, bodies, context, failed=failed)
        if failed:
            raise PoisonRecord(f"record {self.poison_sequence} is poison")

    def calls_for(self, root: Call) -> list[Call]:
        """Give the calls that the failure of `root` led to, in their order."""
        with self._lock:
            calls = list(self._calls)
        return [
            call
            for call in calls
            if (call.shard, call.lane) == (root.shard, root.lane)
            and root.first <= call.first
            and call.last <= root.last
        ]

    def _note(
        self, records: list[Any], bodies: list[Any], context: Context, *, failed: bool
    ) -> None:
        place = context.penstock
        call = Call(
            shard=place.shard,
            lane=place.lane,
            first=int(records[0]["kinesis"]["sequenceNumber"]),
            last=int(records[-1]["kinesis"]["sequenceNumber"]),
            size=len(records),
            attempt=place.attempt,
            failed=failed,
        )
        with self._lock:
            self._calls.append(call)
            if failed:
                self.first_failure = self.first_failure or call
                return
            for body in bodies:
                number, key = body["number"], body["customer"]
                self.repeated += number in self.handled
                self.disorder += number <= self._last.get(key, -1)
                self._last[key] = number
                self.handled.add(number)
            self.ended = time.monotonic()


def expected_calls_max(size: int, retries: int) -> int:
    """Give the most calls that isolating one poison record may take."""
    return 2 * math.ceil(math.log2(size)) + 1 + retries if size > 1 else 1 + retries
