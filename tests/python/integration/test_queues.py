"""Embedded queues, through the whole stack: volumes, order, poison, visibility, busy workers."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import penstock
from penstock.queues import QueueOptions
from tests.python.integration import harness
from tests.takes import least

STANDARD = 5_000
FIFO = 2_000
GROUPS = 200


def app_with(queues: dict[str, QueueOptions], state: Path, **settings: Any) -> penstock.App:
    return penstock.App(state=state, queues=queues, silence=["PS805"], **settings)


def grouped(number: int, groups: int = GROUPS) -> dict[str, Any]:
    return {
        "MessageBody": f"{number % groups}:{number // groups}",
        "MessageGroupId": f"group-{number % groups}",
        "MessageDeduplicationId": str(number),
    }


def test_every_message_of_a_standard_queue_is_handled_and_deleted(tmp_path: Path) -> None:
    app = app_with({"orders": {"visibility_timeout": "2m"}}, tmp_path)
    seen: list[str] = []
    app.on("queue:orders", batch_size=10)(
        lambda event, context: seen.extend(record["body"] for record in event["Records"])
    )
    with app.background() as engine:
        engine.send("orders", (str(number) for number in range(STANDARD)))
        harness.until(lambda: len(seen) >= STANDARD, "everything is handled", 120)
        harness.until(lambda: _held(engine, "orders") == 0, "everything is deleted")
        report = engine.drain()
    assert sorted(map(int, seen)) == list(range(STANDARD))
    assert (report.succeeded, report.lost) == (STANDARD, 0)


def test_every_group_of_a_fifo_queue_keeps_its_order(tmp_path: Path) -> None:
    app = app_with({"orders.fifo": {"visibility_timeout": "2m"}}, tmp_path)
    seen: dict[str, list[int]] = defaultdict(list)
    running: set[str] = set()
    together: list[str] = []
    lock = threading.Lock()

    @app.on("queue:orders.fifo", batch_size=10)
    def handler(event: dict[str, Any], context: Any) -> None:
        groups = {record["attributes"]["MessageGroupId"] for record in event["Records"]}
        with lock:
            together.extend(running & groups)
            running.update(groups)
        for record in event["Records"]:
            group, place = record["body"].split(":")
            seen[group].append(int(place))
        with lock:
            running.difference_update(groups)

    with app.background() as engine:
        engine.send("orders.fifo", (grouped(number) for number in range(FIFO)))
        harness.until(lambda: sum(map(len, seen.values())) >= FIFO, "everything is handled", 120)
        harness.until(lambda: _held(engine, "orders.fifo") == 0, "everything is deleted")
    assert not together, "two invocations of one group at once"
    assert len(seen) == GROUPS
    for group, places in seen.items():
        assert places == list(range(FIFO // GROUPS)), f"group {group}"


@pytest.mark.parametrize("name", ["orders", "orders.fifo"])
def test_a_poison_message_is_a_dead_letter_after_exactly_three_receives(
    tmp_path: Path, name: str
) -> None:
    letters = name.replace("orders", "letters")
    queues: dict[str, QueueOptions] = {
        letters: {},
        name: {"visibility_timeout": 1, "dead_letter_queue": letters, "max_receive_count": 3},
    }
    app = app_with(queues, tmp_path)
    good: set[str] = set()
    receives: list[int] = []

    @app.on(f"queue:{name}", batch_size=1)
    def handler(event: dict[str, Any], context: Any) -> None:
        [record] = event["Records"]
        if record["body"] == "7:3":
            receives.append(int(record["attributes"]["ApproximateReceiveCount"]))
            raise ValueError("poison")
        good.add(record["body"])

    messages: list[Any] = [grouped(number, groups=10) for number in range(100)]
    if name == "orders":
        messages = [message["MessageBody"] for message in messages]
    with app.background() as engine:
        sent = engine.send(name, messages)
        harness.until(lambda: _held(engine, letters) == 1, "the poison is a dead letter", 30)
        harness.until(lambda: len(good) == 99, "all others are handled", 30)
        [letter] = engine.queues.browse(letters)
        harness.until(lambda: _held(engine, name) == 0, "the queue is empty")
    assert receives == [1, 2, 3]
    assert (letter["body"], letter["receive_count"]) == ("7:3", 3)
    assert letter["message_id"] == sent[37]["message_id"]


def test_a_handler_that_outlives_the_visibility_gets_its_message_once(tmp_path: Path) -> None:
    def received_again() -> float:
        app = app_with({"orders": {"visibility_timeout": 2}}, tmp_path / uuid4().hex)
        counts: list[int] = []

        @app.on("queue:orders")
        def handler(event: dict[str, Any], context: Any) -> None:
            counts.extend(map(_receives, event["Records"]))
            time.sleep(4)

        with app.background() as engine:
            engine.send("orders", ["long"])
            harness.until(lambda: bool(counts), "the handler runs")
            harness.until(lambda: _held(engine, "orders") == 0, "it is deleted")
        return sum(counts) - 1

    # What stands still for as long as the visibility lasts cannot lengthen it.
    assert least(received_again, enough=0, takes=3) == 0


def test_busy_workers_cost_no_receives(tmp_path: Path) -> None:
    def received_again() -> float:
        state = tmp_path / uuid4().hex
        app = app_with({"orders": {"visibility_timeout": 1}}, state, workers=1)
        gate = threading.Event()
        counts: list[int] = []

        @app.on("queue:orders", batch_size=1)
        def handler(event: dict[str, Any], context: Any) -> None:
            counts.extend(map(_receives, event["Records"]))
            gate.wait(60)

        with app.background() as engine:
            engine.send("orders", [str(number) for number in range(20)])
            harness.until(lambda: len(counts) == 1, "the only worker is busy")
            time.sleep(4)
            gate.set()
            harness.until(lambda: _held(engine, "orders") == 0, "all are handled")
        return sum(counts) - 20

    assert least(received_again, enough=0, takes=3) == 0


def test_a_filter_deletes_what_it_does_not_match(tmp_path: Path) -> None:
    app = app_with({"orders": {}}, tmp_path)
    seen: list[str] = []
    app.on("queue:orders", filters=[{"body": {"kind": ["good"]}}])(
        lambda event, context: seen.extend(record["body"] for record in event["Records"])
    )
    with app.background() as engine:
        engine.send("orders", ['{"kind": "good"}', '{"kind": "bad"}', "not JSON"])
        harness.until(lambda: bool(seen) and _held(engine, "orders") == 0, "the queue is empty")
    assert seen == ['{"kind": "good"}']


def test_failure_documents_go_to_an_embedded_queue(tmp_path: Path) -> None:
    app = app_with({}, tmp_path, streams={"orders": 1})

    @app.on(
        "stream:orders", starting_position="TRIM_HORIZON", retry_attempts=0,
        on_failure="queue:failed",
    )  # fmt: skip
    def handler(event: dict[str, Any], context: Any) -> None:
        raise ValueError("always")

    with app.background() as engine:
        engine.put("orders", [("key", b"x")])
        harness.until_idle(engine)
        [letter] = engine.queues.browse("failed")
    assert '"RetryAttemptsExhausted"' in letter["body"]


def _receives(record: dict[str, Any]) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])


def _held(engine: penstock.Engine, name: str) -> int:
    described = engine.queues.describe(name)
    return sum(described[part] for part in ("visible", "in_flight", "delayed"))
