"""Tests how the engine's logs and notices reach `logging`, and how they are written."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest

from penstock import telemetry
from penstock.context import Context, Delivery, current
from tests.python.unit.fake_penstock import FakeRuntime

DOCUMENT = json.dumps({"state_dir": None}).encode()


def pumped(runtime: FakeRuntime) -> None:
    pump = telemetry.Pump(runtime, {"id-1": "orders"})  # type: ignore[arg-type]
    pump.start()
    pump.stop()


def test_lines_of_the_engine_become_records(caplog: pytest.LogCaptureFixture) -> None:
    runtime = FakeRuntime(DOCUMENT)
    runtime.logs.append((1.5, "warn", "penstock_runtime::state", "slow disk", {"ms": "7"}))
    runtime.logs.append((2.5, "debug", "penstock_engine", "not wanted", {}))
    runtime.notices.append(("id-1", "info", "shard_started", "shardId-0", "reading begins"))
    with caplog.at_level(logging.INFO, "penstock"):
        pumped(runtime)
    first, second = caplog.records
    assert (first.name, first.levelname) == ("penstock.runtime.state", "WARNING")
    assert first.getMessage() == "slow disk"
    assert first.created == 1.5
    assert second.getMessage() == "orders shardId-0: reading begins"
    fields: Any = second
    assert fields.penstock == {"mapping": "id-1", "code": "shard_started", "shard": "shardId-0"}


def test_a_warning_that_only_reading_gives_can_be_switched_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime = FakeRuntime(DOCUMENT)
    runtime.notices.append(("id-1", "warn", "aggregated_records", None, "they are aggregates"))
    again = list(runtime.notices)
    pumped(runtime)
    assert caplog.records[0].getMessage() == "orders: warning[PS808]: they are aggregates"
    caplog.clear()
    runtime.notices = again
    pump = telemetry.Pump(runtime, {}, ["PS808"])  # type: ignore[arg-type]
    pump.start()
    pump.stop()
    assert not caplog.records


def test_percent_signs_of_the_engine_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    runtime = FakeRuntime(DOCUMENT)
    runtime.logs.append((1.0, "error", "penstock_aws", "100%s", {}))
    pumped(runtime)
    assert caplog.records[0].getMessage() == "100%s"


def test_json_lines_have_lambdas_keys() -> None:
    record = logging.LogRecord("penstock", logging.INFO, "", 0, "hello %s", ("you",), None)
    record.created = 1769860800.25
    record.penstock = {"code": "x"}
    context = Context(
        aws_request_id="r-1",
        function_name="orders",
        function_version="$LATEST",
        invoked_function_arn="arn",
        memory_size=128,
        log_stream_name="s",
        remaining_ms=lambda: 1,
        penstock=Delivery(
            mapping="id-1", source="stream:orders", shard="shardId-0", lane=0, attempt=2, fence=1
        ),
    )
    token = current.set(context)
    try:
        line = json.loads(telemetry.JsonFormatter().format(record))
    finally:
        current.reset(token)
    assert line == {
        "timestamp": "2026-01-31T12:00:00.250Z",
        "level": "INFO",
        "message": "hello you",
        "logger": "penstock",
        "requestId": "r-1",
        "mapping": "id-1",
        "source": "stream:orders",
        "shard": "shardId-0",
        "attempt": 2,
        "code": "x",
    }


def test_an_exception_is_one_json_line() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("penstock", logging.ERROR, "", 0, "failed", (), info)
    line = json.loads(telemetry.JsonFormatter().format(record))
    assert line["errorType"] == "ValueError"
    assert isinstance(line["stackTrace"], list)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (logging.DEBUG, "debug"),
        (logging.INFO, "info"),
        (logging.WARNING, "warn"),
        (logging.CRITICAL, "error"),
        (5, "trace"),
    ],
)
def test_the_engine_makes_only_lines_that_somebody_reads(
    level: int, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(level, "penstock"):
        assert telemetry.level_for_runtime() == expected


def test_a_pump_ends_when_the_runtime_is_closed() -> None:
    runtime = FakeRuntime(DOCUMENT)
    pump = telemetry.Pump(runtime, {})  # type: ignore[arg-type]
    pump.start()
    runtime.close(0)
    begun = time.monotonic()
    pump.stop()
    assert time.monotonic() - begun < 20
