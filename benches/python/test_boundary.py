"""Times what crosses the boundary: an invocation taken and completed, a frame, a filter."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benches.python import invocations
from penstock import _bridge
from penstock._bridge import Invocation, Outbox, Runtime

# One more than is taken at most, and each is a batch of its own.
ROUND_TRIPS = 3_000
RECORDS = 1_000
DATA = base64.b64encode(b"x" * 1_024).decode()

Benchmark = Callable[..., Any]


@pytest.fixture
def backlog() -> Iterator[Runtime]:
    """A mapping with many batches of one record."""
    with invocations.runtime() as engine:
        invocations.fill(engine, ROUND_TRIPS, "eA==")
        options = {"StartingPosition": "TRIM_HORIZON"}
        engine.add_mapping(invocations.mapping("stream:orders", 1, **options))
        yield engine


@pytest.fixture
def batch() -> Iterator[Invocation]:
    """One invocation of records of 1 KB."""
    with invocations.runtime() as engine:
        yield invocations.of_stream(engine, RECORDS, DATA)


def test_round_trip_of_a_batch_of_one(benchmark: Any, backlog: Runtime) -> None:
    def once() -> int:
        invocation = invocations.take(backlog)
        backlog.complete(invocation.mapping, invocation.id, "returned", None)
        return invocation.record_count

    rounds = ROUND_TRIPS // 2
    assert benchmark.pedantic(once, rounds=rounds, iterations=1, warmup_rounds=100) == 1


def test_frame_for_a_child_of_1000_records(benchmark: Benchmark, batch: Invocation) -> None:
    outbox = Outbox(None, 0)
    assert len(benchmark(outbox.encode, batch)) > RECORDS


def test_snapshot(benchmark: Benchmark, backlog: Runtime) -> None:
    assert json.loads(benchmark(backlog.snapshot))["mappings"]


@pytest.mark.parametrize("name", ["equal", "nested", "wildcard"])
def test_filter(benchmark: Benchmark, name: str) -> None:
    pattern = {
        "equal": {"kind": ["order"]},
        "nested": {"order": {"amount": [{"numeric": [">", 5, "<=", 100]}]}},
        "wildcard": {"note": [{"wildcard": "*phone*door"}]},
    }[name]
    record = {"kind": "order", "order": {"amount": 17}, "note": "asked by phone, to the door"}
    passes, _ = benchmark(_bridge.matches, json.dumps(pattern), json.dumps(record).encode())
    assert passes
