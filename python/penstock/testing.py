"""Runs an app's mappings in memory and in virtual time, for users' own tests.

    def test_orders(penstock_harness):
        with penstock_harness(app, streams={"orders": 2}) as harness:
            harness.put("orders", [("customer-1", b"…")])
            harness.run_until_idle()
            assert harness.records("orders-failed") == []

Rules: nothing is written to disk and nothing is asked of AWS; waits between attempts pass at once,
because the clock is moved, not waited for; a test that does not come to rest fails with the reason.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from penstock import durations
from penstock.app import App
from penstock.durations import Duration
from penstock.engine import Engine
from penstock.queues import Message, QueueOptions
from penstock.streams import Record
from penstock.wording import words

_REST_SECONDS: Final = 0.005
_STEP_MS: Final = 100
_STEP_MS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """One record of an embedded stream."""

    shard: str
    sequence_number: str
    key: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One message of an embedded queue."""

    message_id: str
    body: str
    group: str | None
    receive_count: int
    visible: bool


class Harness:
    """An engine in memory whose clock the test moves."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def put(self, stream: str, records: Iterable[Record]) -> list[dict[str, Any]]:
        """Append records to an embedded stream."""
        return self.engine.put(stream, records)

    def send(self, queue: str, messages: Iterable[Message]) -> list[dict[str, Any]]:
        """Send messages to an embedded queue."""
        return self.engine.send(queue, messages)

    def messages(self, queue: str) -> list[StoredMessage]:
        """Give everything that an embedded queue holds, in its order, without receiving it."""
        name = queue.removeprefix("queue:")
        found: list[StoredMessage] = []
        after = 0
        while seen := self.engine.queues.browse(name, after=after):
            after = seen[-1]["number"]
            found += [_message(message) for message in seen]
        return found

    def advance(self, span: Duration) -> None:
        """Move the clock."""
        self.engine.advance(durations.milliseconds(span, option="span"))

    def run_until_idle(self, *, virtual: Duration = "1h", real: Duration = "30s") -> None:
        """Move the clock until every record is settled; fail when that does not come about."""
        left = durations.milliseconds(virtual, option="virtual")
        deadline = time.monotonic() + durations.seconds(real, option="real")
        step, before = _STEP_MS, self.counters()
        while not self._is_idle():
            if time.monotonic() > deadline or left <= 0:
                limit = words(durations.seconds(virtual, option="virtual"))
                raise AssertionError(f"not idle within {limit} of virtual time: {self._state()}")
            if not self.engine.running():
                self.engine.advance(step)
                left -= step
                # Long waits pass in long steps; where something happens the steps are short.
                now = self.counters()
                step, before = _STEP_MS if now != before else min(2 * step, _STEP_MS_MAX), now
            time.sleep(_REST_SECONDS)

    def records(self, stream: str) -> list[StoredRecord]:
        """Give everything that an embedded stream holds, shard by shard."""
        name = stream.removeprefix("stream:")
        found: list[StoredRecord] = []
        for shard in self.engine.streams.describe(name)["shards"]:
            after = None
            while page := self.engine.streams.read(name, shard["id"], after=after)["records"]:
                after = page[-1]["sequence_number"]
                found += [_stored(shard["id"], record) for record in page]
        return found

    def counters(self) -> dict[str, int]:
        """Add up the counters of all mappings."""
        total: dict[str, int] = {}
        for mapping in self.engine.snapshot()["mappings"]:
            for name, count in mapping["counters"].items():
                total[name] = total.get(name, 0) + count
        return total

    def _is_idle(self) -> bool:
        mappings = self.engine.snapshot()["mappings"]
        return len(mappings) == len(self.engine.prepared) and all(
            mapping["idle"] or mapping["state"] == "paused" for mapping in mappings
        )

    def _state(self) -> str:
        mappings = self.engine.snapshot()["mappings"]
        return "; ".join(f"{m['handler']} is {m['state']}: {m['counters']}" for m in mappings)


@contextmanager
def harness(
    app: App,
    *,
    streams: Mapping[str, int] | None = None,
    queues: Mapping[str, QueueOptions] | None = None,
    seed: int = 1,
) -> Iterator[Harness]:
    """Run an app in memory; `streams` and `queues` are made besides the app's own."""
    settings = replace(
        app.settings,
        state=None,
        manual_clock=True,
        seed=seed,
        streams={**app.settings.streams, **(streams or {})},
        queues={**app.settings.queues, **(queues or {})},
    )
    engine = app.engine(settings)
    engine.start()
    try:
        yield Harness(engine)
    finally:
        engine.close()


@pytest.fixture
def penstock_harness() -> Callable[..., Any]:
    """Give `harness` as a fixture; import it into a conftest.py to use it."""
    return harness


def _message(seen: dict[str, Any]) -> StoredMessage:
    return StoredMessage(
        message_id=seen["message_id"],
        body=seen["body"],
        group=seen["group"],
        receive_count=seen["receive_count"],
        visible=seen["visible"],
    )


def _stored(shard: str, record: dict[str, Any]) -> StoredRecord:
    return StoredRecord(
        shard=shard,
        sequence_number=record["sequence_number"],
        key=record["key"],
        data=base64.b64decode(record["data"]),
    )
