"""Times the building of events, one for each kind of source, beside `json.loads` of the same."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benches.python import invocations
from penstock._bridge import Invocation

RECORDS = 1_000
CHANGES = 200
SIZES = (100, 1_024, 10_240)

Benchmark = Callable[..., Any]


@pytest.fixture(params=SIZES)
def kinesis(request: pytest.FixtureRequest) -> Iterator[Invocation]:
    """Records of a stream, of several sizes."""
    data = base64.b64encode(os.urandom(request.param)).decode()
    with invocations.runtime() as engine:
        yield invocations.of_stream(engine, RECORDS, data)


@pytest.fixture
def sqs() -> Iterator[Invocation]:
    """Messages of a queue."""
    with invocations.runtime() as engine:
        yield invocations.of_queue(engine, RECORDS, "m" * 1_024)


@pytest.fixture
def dynamodb() -> Iterator[Invocation]:
    """Changes of a table."""
    with invocations.runtime() as engine, invocations.of_table(engine, CHANGES) as invocation:
        yield invocation


@pytest.mark.benchmark(group="event of a Kinesis stream, 1,000 records")
def test_kinesis_dictionaries(benchmark: Benchmark, kinesis: Invocation) -> None:
    assert len(benchmark(kinesis.event)["Records"]) == kinesis.record_count


@pytest.mark.benchmark(group="event of a Kinesis stream, 1,000 records")
def test_kinesis_text(benchmark: Benchmark, kinesis: Invocation) -> None:
    assert json.loads(benchmark(kinesis.json)) == kinesis.event()


@pytest.mark.benchmark(group="event of a Kinesis stream, 1,000 records")
def test_kinesis_json_loads(benchmark: Benchmark, kinesis: Invocation) -> None:
    assert benchmark(json.loads, kinesis.json()) == kinesis.event()


@pytest.mark.benchmark(group="event of a queue")
def test_sqs_dictionaries(benchmark: Benchmark, sqs: Invocation) -> None:
    assert len(benchmark(sqs.event)["Records"]) == sqs.record_count


@pytest.mark.benchmark(group="event of a queue")
def test_sqs_json_loads(benchmark: Benchmark, sqs: Invocation) -> None:
    assert benchmark(json.loads, sqs.json()) == sqs.event()


@pytest.mark.benchmark(group="event of a table, 200 changes")
def test_dynamodb_dictionaries(benchmark: Benchmark, dynamodb: Invocation) -> None:
    assert len(benchmark(dynamodb.event)["Records"]) == dynamodb.record_count


@pytest.mark.benchmark(group="event of a table, 200 changes")
def test_dynamodb_json_loads(benchmark: Benchmark, dynamodb: Invocation) -> None:
    assert benchmark(json.loads, dynamodb.json()) == dynamodb.event()
