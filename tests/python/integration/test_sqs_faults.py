"""Each fault of a queue on the wire, one scenario each; and how receives follow the load.

Of each fault it is asked that every message is handled and deleted, and that the queue is empty
within seconds of the fault's end.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import penstock
from tests.python.integration.queues import Queue
from tests.services.environment import clean_process
from tests.services.wire import EVERYTHING, RECEIVES, Scope, SqsServer, error, sqs_server
from tests.takes import least

MESSAGES = 400
FOR_MS = 800
DELETES = Scope(operation="DeleteMessageBatch")

Order = Callable[[SqsServer], object]

FAULTS: dict[str, Order] = {
    "throttled": lambda server: server.throttle(RECEIVES, for_ms=FOR_MS),
    "over_limit": lambda server: server.fault(
        error(403, "OverLimit", "Too many messages are in flight."), RECEIVES, for_ms=FOR_MS
    ),
    "internal_failure": lambda server: server.internal_failure(RECEIVES, for_ms=FOR_MS),
    "reset_in_the_body": lambda server: server.reset_connection(100, RECEIVES, times=5),
    "truncated": lambda server: server.truncate(100, RECEIVES, times=5),
    "broken_json": lambda server: server.garbage("broken", RECEIVES, times=5),
    "html": lambda server: server.garbage("not_json", RECEIVES, times=5),
    "unknown_fields": lambda server: server.garbage("unknown_fields", RECEIVES, times=20),
    "needless_escapes": lambda server: server.garbage("escapes", RECEIVES, times=20),
    "lost_answers": lambda server: server.lose_answers(times=5),
    "receipts_expire": lambda server: server.expire_receipts(),
    "some_deletes_are_refused": lambda server: server.refuse_entries(
        "InternalError", every=3, for_ms=FOR_MS
    ),
    "all_deletes_are_refused": lambda server: server.refuse_entries(
        "ReceiptHandleIsInvalid", every=1, times=5
    ),
    "deletes_fail": lambda server: server.internal_failure(DELETES, for_ms=FOR_MS),
    "duplicates": lambda server: server.duplicate(times=5),
    "denied": lambda server: server.deny_access(RECEIVES, for_ms=FOR_MS),
    "everything_throttled": lambda server: server.throttle(EVERYTHING, for_ms=FOR_MS),
}


class Seen:
    """What handlers saw, and how many ran at once."""

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def take(self, event: dict[str, Any], wait_s: float) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(wait_s)
        with self._lock:
            self.running -= 1
            self.times.update(json.loads(record["body"])["id"] for record in event["Records"])


@contextmanager
def running(
    server: SqsServer, *, workers: int = 8, wait_s: float = 0.005, **options: Any
) -> Iterator[tuple[Seen, Any]]:
    """Run a handler on the queue `orders`."""
    seen = Seen()
    with clean_process():
        app = penstock.App(
            state=":memory:",
            endpoint=server.url,
            region="us-east-1",
            workers=workers,
            silence=["PS803", "PS805"],
        )

        @app.on("sqs:orders", **options)
        def handler(event: dict[str, Any], _context: Any) -> None:
            seen.take(event, wait_s)

        with app.background() as engine:
            yield seen, engine


def until(holds: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


@contextmanager
def orders(**attributes: str) -> Iterator[tuple[SqsServer, Queue]]:
    with sqs_server() as server:
        client = server.client("sqs", retries=5)
        yield server, Queue(client, "orders", attributes)
        client.close()


# The others wait for visibility to end, several times: they run in the slow tier.
QUICK = ("throttled", "duplicates")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else (pytest.mark.slow,)) for name in FAULTS],
)
def test_a_fault_loses_no_message_and_passes(name: str) -> None:
    with orders(VisibilityTimeout="2") as (server, queue):
        queue.send(MESSAGES)
        with running(server) as (seen, _):
            until(lambda: len(seen.times) >= 50, "the first are handled")
            FAULTS[name](server)
            queue.send(MESSAGES)
            until(lambda: len(seen.times) == len(queue.sent), "all are handled")
            queue.until_empty()


def test_a_queue_that_is_deleted_is_read_again_when_it_is_back() -> None:
    with orders() as (server, queue):
        queue.send(100)
        with running(server) as (seen, engine):
            until(lambda: len(seen.times) == 100, "the first are handled")
            queue.client.delete_queue(QueueUrl=queue.url)
            until(lambda: "does not exist" in str(engine.snapshot()["mappings"][0]), "it is told")
            queue.client.create_queue(QueueName="orders")
            queue.send(100)
            until(lambda: len(seen.times) == 200, "the others are handled")


def test_concurrency_climbs_to_its_maximum_and_stays() -> None:
    most = 16
    with orders(VisibilityTimeout="60") as (server, queue):
        queue.send(4_000)
        with running(server, workers=32, wait_s=1.0, maximum_concurrency=most) as (seen, _):
            until(lambda: seen.most >= most, "it has climbed")

            def idle() -> float:
                samples = []
                for _ in range(20):
                    time.sleep(0.05)
                    samples.append(seen.running)
                return most - sorted(samples)[len(samples) // 4]

            # Between two calls a worker is idle for as long as the machine makes it.
            assert least(idle, enough=2, takes=3) <= most // 4
            assert seen.most == most


@pytest.mark.slow
def test_an_empty_queue_settles_to_long_polls() -> None:
    with orders() as (server, queue):
        queue.send(200)
        with running(server) as (seen, _):
            until(lambda: len(seen.times) == 200, "all are handled")
            time.sleep(3)
            server.reset_stats()
            span_s = 6
            time.sleep(span_s)
            calls = server.stats()["operations"]
        received = calls.get("ReceiveMessage", {}).get("calls", 0)
        # Ten receives that wait 20 seconds are thirty calls a minute.
        assert received * 60 / span_s <= 100, calls
        assert set(calls) <= {"ReceiveMessage", "GetQueueAttributes"}


def test_a_handler_longer_than_the_visibility_gets_nothing_twice() -> None:
    def handled_again() -> float:
        with orders(VisibilityTimeout="2") as (server, queue):
            queue.send(8)
            with running(server, wait_s=5, batch_size=1) as (seen, _):
                until(lambda: len(seen.times) == 8, "all are handled")
                queue.until_empty()
        return sum(times - 1 for times in seen.times.values())

    # What stands still for as long as the visibility lasts cannot lengthen it.
    assert least(handled_again, enough=0, takes=3) == 0
