"""Tests what those who watch an engine are answered: health, readiness, metrics."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.api.health import readiness
from penstock.api.metrics import Metrics
from penstock.app import App
from penstock.engine import Engine
from penstock.workers.stats import Durations

PATHS = ("/healthz", "/readyz", "/metrics")
RECORDS = 7
# What dashboards are built on: these names stay.
NAMES = {
    "penstock_polled_events_total", "penstock_filtered_out_events_total",
    "penstock_invoked_events_total", "penstock_failed_invoke_events_total",
    "penstock_dropped_events_total", "penstock_on_failure_destination_delivered_events_total",
    "penstock_oldest_unsettled_age_seconds", "penstock_invocations_total",
    "penstock_invocation_duration_seconds_bucket", "penstock_invocation_duration_seconds_sum",
    "penstock_batch_records_sum", "penstock_batch_records_count", "penstock_inflight_batches",
    "penstock_buffered_bytes", "penstock_retries_total", "penstock_bisections_total",
    "penstock_checkpoint_age_seconds", "penstock_gil_wait_seconds_total", "penstock_build_info",
    "penstock_iterator_age_seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    app = App(state=":memory:", streams={"orders": 1}, silence=["PS801"], api="127.0.0.1:0")

    @app.on("stream:orders", starting_position="TRIM_HORIZON", maximum_retry_attempts=1)
    def takes(event: Any, context: Any) -> None:
        if len(event["Records"]) > RECORDS:
            raise ValueError("too many")

    with app.background() as engine:
        engine.put("orders", [("a", b"x")] * RECORDS)
        _until(lambda: _counters(engine)["succeeded"] == RECORDS)
        yield engine


def ask(engine: Engine, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    assert engine.api is not None
    connection = http.client.HTTPConnection(engine.api.host, engine.api.port, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def samples(text: bytes) -> dict[str, float]:
    """Read Prometheus' text with its own parser; sums over labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_an_engine_at_work_is_healthy_and_ready(engine: Engine) -> None:
    assert ask(engine, "/healthz") == (200, b'{"status":"ok"}')
    assert ask(engine, "/readyz") == (200, b'{"status":"ready"}')


def test_metrics_have_the_names_and_the_numbers_of_the_snapshot(engine: Engine) -> None:
    status, text = ask(engine, "/metrics")
    found = samples(text)
    assert status == 200
    assert set(found) >= NAMES
    assert found["penstock_polled_events_total"] == RECORDS
    assert found["penstock_batch_records_sum"] == RECORDS
    invocations = _counters(engine)["invocations"]
    assert found["penstock_invocations_total"] == invocations
    assert found["penstock_batch_records_count"] == invocations
    assert found["penstock_invocation_duration_seconds_count"] == invocations
    assert found["penstock_buffered_bytes"] == engine.snapshot()["mappings"][0]["buffered_bytes"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_foreign_hosts_and_pages_learn_nothing(
    engine: Engine, path: str, headers: dict[str, str]
) -> None:
    status, body = ask(engine, path, **headers)
    assert status == 403
    assert b"penstock_" not in body


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_watching_changes_nothing(engine: Engine, path: str, method: str) -> None:
    assert ask(engine, path, method, **{"X-Penstock-Request": "1"})[0] == 405


def test_counters_of_queues_and_of_failures_are_told_apart() -> None:
    counters = dict.fromkeys(_every_counter(), 0) | {
        "polled": 9, "invoked": 12, "failed": 4, "invocations": 5, "failed_invocations": 2,
        "succeeded": 6,
    }  # fmt: skip
    mapping = {
        "mapping": "m", "handler": "f", "source_arn": "a", "counters": counters, "shards": [],
        "buffered_bytes": 3, "queue": {"in_flight": 1},
    }  # fmt: skip
    picture = {"mappings": [mapping, {"id": "refused"}], "now": 0, "attach_wait_seconds": 0.5}
    text = Metrics(lambda: picture, Durations().cumulative).text().decode()
    assert 'penstock_deleted_events_total{mapping="m"} 6.0' in text
    assert 'penstock_invocations_total{mapping="m",outcome="failed"} 2.0' in text
    assert 'penstock_invocations_total{mapping="m",outcome="succeeded"} 2.0' in text
    assert 'penstock_inflight_batches{mapping="m"} 1.0' in text
    assert "penstock_gil_wait_seconds_total 0.5" in text
    assert 'penstock_invocation_duration_seconds_bucket{le="+Inf"} 0.0' in text


def test_buckets_rise_and_hold_every_duration_once() -> None:
    durations = Durations()
    for seconds in (0.000_001, 0.001, 0.25, 30.0, 1e6):
        durations.add(seconds)
    buckets, total = durations.cumulative()
    bounds, counts = zip(*buckets, strict=True)
    assert list(bounds) == sorted(bounds)
    assert list(counts) == sorted(counts)
    assert counts[-1] == 5
    assert counts[-2] == 4, "what is longer than every bucket is in the last one only"
    assert total == pytest.approx(1_000_030.251, abs=1e-3)


@pytest.mark.parametrize(
    ("picture", "closed", "status"),
    [
        ({"draining": False, "mappings": [{"mapping": "m", "state": "running"}]}, False, "ready"),
        ({"draining": False, "mappings": []}, False, "ready"),
        ({"draining": True, "mappings": []}, False, "draining"),
        ({"draining": False, "mappings": [{"mapping": "m", "state": "failing"}]}, False, "failing"),
        ({"draining": False, "mappings": []}, True, "closed"),
    ],
)
def test_readiness_is_that_of_the_snapshot(
    picture: dict[str, Any], closed: bool, status: str
) -> None:
    assert readiness(picture, closed=closed)["status"] == status


def test_an_engine_that_drains_is_healthy_and_not_ready() -> None:
    app = App(state=":memory:", streams={"orders": 1}, silence=["PS801"], api="127.0.0.1:0")

    @app.on("stream:orders", starting_position="TRIM_HORIZON")
    def takes(event: Any, context: Any) -> None: ...

    with app.background() as engine:
        engine.drain()
        status, body = ask(engine, "/readyz")
        assert (status, json.loads(body)["status"]) == (503, "draining")
        assert ask(engine, "/healthz")[0] == 200


def _counters(engine: Engine) -> dict[str, int]:
    counters: dict[str, int] = engine.snapshot()["mappings"][0]["counters"]
    return counters


def _every_counter() -> tuple[str, ...]:
    return (
        "polled", "invoked", "failed", "invocations", "failed_invocations", "retries", "bisections",
        "gaps", "filtered", "succeeded", "dropped", "delivered",
    )  # fmt: skip


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
