"""Counts the messages that come to several handlers at once, and what the process spent on them.

With `DIGEST=1` in the environment it writes down what came instead, by body, without what differs
from one receive of a message to the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from typing import Any

from benches.load.meter import Meter

ARN = "arn:aws:sqs:us-east-1:000000000000:bench"
# What the queue makes anew for each message of a run.
_OWN = ("messageId", "receiptHandle")
_TIMES = ("SentTimestamp", "ApproximateFirstReceiveTimestamp")


class QueueMeter:
    """A meter for several threads."""

    def __init__(self, messages: int) -> None:
        self._meter = Meter(messages)
        self._lock = threading.Lock()
        self._seen: dict[str, str] | None = {} if os.environ.get("DIGEST") else None

    @property
    def done(self) -> threading.Event:
        return self._meter.done

    def take(self, event: dict[str, Any]) -> None:
        """Count one batch."""
        with self._lock:
            if self._seen is not None:
                self._seen |= {record["body"]: _told(record) for record in event["Records"]}
                if len(self._seen) >= self._meter.records:
                    self.done.set()
                return
            self._meter.take(event)

    def result(self) -> dict[str, Any]:
        """Give what a message cost, or the digest of all."""
        if self._seen is None:
            return self._meter.result()
        whole = "".join(self._seen[body] for body in sorted(self._seen))
        return {"digest": hashlib.sha256(whole.encode()).hexdigest()}


def _told(record: dict[str, Any]) -> str:
    attributes = {key: value for key, value in record["attributes"].items() if key not in _TIMES}
    plain = {key: value for key, value in record.items() if key not in _OWN}
    return json.dumps(plain | {"attributes": attributes})
