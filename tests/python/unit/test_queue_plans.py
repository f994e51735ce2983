"""Tests what is said of a queue's mapping before it runs, and why it does not move."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.why import reasons
from penstock.plan import warnings
from penstock.plan_queues import PlannedQueue, QueueFacts

LETTERS = QueueFacts(visibility_timeout_s=60, dead_letter_queue="letters", max_receive_count=3)


def planned(queue: QueueFacts | None, slots: int = 8, **members: Any) -> PlannedQueue:
    document = {
        "EventSourceArn": "arn:aws:penstock:::queue/orders",
        "BatchSize": 10,
        "Penstock": {"FunctionTimeoutMs": 10_000},
    }
    return PlannedQueue(
        id="1", function="f", source="queue:orders", document=document | members, queue=queue,
        slots=slots, pool="threads",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "fate"),
    [
        (planned(LETTERS), "after 1 min 00 s, and goes to letters after 3 receives"),
        (planned(QueueFacts(visibility_timeout_s=60)), "after 1 min 00 s, until it expires"),
        (planned(None), "comes back when its visibility ends"),
    ],
)
def test_the_line_says_what_becomes_of_a_failed_message(plan: PlannedQueue, fate: str) -> None:
    assert plan.line().startswith("f ← queue:orders: queue, up to 8 at once, batches of 10; ")
    assert fate in plan.line()


def test_the_line_of_a_fifo_queue_says_so() -> None:
    plan = planned(None, EventSourceArn="arn:aws:penstock:::queue/orders.fifo")
    assert "FIFO queue" in plan.line()
    bounded = planned(None, ScalingConfig={"MaximumConcurrency": 3})
    assert "up to 3 at once" in bounded.line()


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (planned(LETTERS), []),
        (planned(LETTERS, MaximumBatchingWindowInSeconds=1), [("PS805", "and the window")]),
        (
            planned(QueueFacts(visibility_timeout_s=9)),
            [("PS805", "timeout: 9 seconds is less than Function timeout: 10 seconds")],
        ),
        (
            planned(LETTERS, ScalingConfig={"MaximumConcurrency": 9}),
            [("PS803", "maximum_concurrency is 9, and there are 8 workers")],
        ),
        (
            planned(LETTERS, FilterCriteria={"Filters": [{"Pattern": "{}"}]}),
            [("PS806", "match no filter are deleted")],
        ),
        (planned(LETTERS, FilterCriteria={"Filters": []}), []),
    ],
)
def test_what_people_get_wrong_is_warned_of(
    plan: PlannedQueue, expected: list[tuple[str, str]]
) -> None:
    found = list(warnings([plan], ()))
    assert [code for code, _ in found] == [code for code, _ in expected]
    for (_, sentence), (_, says) in zip(found, expected, strict=True):
        assert says in sentence
    assert list(warnings([plan], [code for code, _ in expected])) == []


def picture(stall: dict[str, Any] | None) -> dict[str, Any]:
    queue = {"in_flight": 1, "concurrency": 5, "stall": stall}
    return {"stall": None, "shards": [], "queue": queue}


def test_a_queue_says_why_it_does_not_move() -> None:
    stall = {"reason": "no_free_worker", "since": 0, "until": None}
    [reason] = reasons(picture(stall), [])
    assert reason["reason"] == "no_free_worker"
    assert reason["text"].endswith("; 1 of 5 at once")
    [moving] = reasons(picture(None), [])
    assert moving["text"] == "moving; 1 of 5 at once"


def test_a_queue_shows_what_its_handlers_do() -> None:
    running = {"invocation": 7, "shard": "orders", "seconds": 2.0, "stack": ["app.py:1 in f"]}
    [reason] = reasons(picture(None), [running])
    assert (reason["place"], reason["stack"]) == ("invocation 7", ["app.py:1 in f"])
