"""Sums over tumbling windows: every record is in the state of exactly one final call."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import penstock
from tests.python.integration import harness, sums
from tests.services.wire import wire_server

RECORDS = 10_000
PARTS = 20
# Three parts are put in each window of 60 s.
PART_MS = 20_000


def test_every_record_is_in_one_final_state() -> None:
    finals: list[dict[str, Any]] = []
    windows: set[tuple[str, str]] = set()
    closed = threading.Event()
    app = penstock.App(state=":memory:", streams={"orders": 1})

    @app.on("stream:orders", starting_position="TRIM_HORIZON", tumbling_window_in_seconds=1)
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
        assert list(event)[1:] == [
            "shardId",
            "eventSourceARN",
            "window",
            "state",
            "isFinalInvokeForWindow",
            "isWindowTerminatedEarly",
        ]
        if event["isFinalInvokeForWindow"]:
            assert event["Records"] == []
            windows.add((event["window"]["start"], event["window"]["end"]))
            finals.append(event["state"])
            closed.set()
            return None
        keys = [record["kinesis"]["partitionKey"] for record in event["Records"]]
        return {"state": {"seen": event["state"].get("seen", []) + keys, "ü": "é"}}

    with app.background() as engine:
        for part in range(3):
            engine.put("orders", [{"key": str(part * 50 + n), "data": b"x"} for n in range(50)])
            time.sleep(1.1)
        engine.put("orders", [{"key": "last", "data": b"x"}])
        harness.until_idle(engine)
        assert closed.wait(10)
    seen = sorted((key for state in finals for key in state["seen"]), key=int)
    assert seen == [str(n) for n in range(150)]
    assert len(windows) == len(finals) >= 3
    assert all(state["ü"] == "é" for state in finals)


def test_an_answer_without_a_state_is_retried_and_given_up() -> None:
    app = penstock.App(state=":memory:", streams={"orders": 1})
    calls: list[int] = []

    @app.on(
        "stream:orders",
        starting_position="TRIM_HORIZON",
        tumbling_window_in_seconds=60,
        maximum_retry_attempts=1,
    )
    def handler(event: dict[str, Any], context: Any) -> None:
        calls.append(len(event["Records"]))

    with app.background() as engine:
        engine.put("orders", [{"key": "k", "data": b"x"}])
        harness.until_idle(engine)
    assert calls == [1, 1]


@pytest.mark.slow
def test_windows_outlive_a_kill_and_a_reshard(tmp_path: Path) -> None:
    """10,000 records in windows of 60 s of a clock that is moved; some arrive late."""
    options = {
        "batch_size": 100,
        "starting_position": "TRIM_HORIZON",
        "tumbling_window_in_seconds": 60,
        "idle_interval": "50ms",
    }
    mapping = {
        "source": "kinesis:orders",
        "options": options,
        "behaviour": {"sums": True, "sleep_ms": 20},
    }
    journal = tmp_path / "sums"
    with wire_server() as endpoint:
        client = endpoint.client()
        harness.create_stream(client, "orders", 2)
        producer = harness.Producer(client, "orders", keys=100)
        plan = {"endpoint": endpoint.url, "mappings": {"all": mapping}, "sums": str(journal)}
        with harness.service(tmp_path, **plan) as service:
            service.start()
            for part in range(PARTS):
                # Every fifth part is said to have arrived before what was put last.
                endpoint.settings(arrivals_before_ms=45_000 if part % 5 == 4 else 0)
                producer.put(RECORDS // PARTS)
                endpoint.advance(PART_MS)
                if part == PARTS // 2:
                    harness.split(client, "orders", 0)
                if part in (PARTS // 2 - 1, PARTS // 2 + 1):
                    _kill_in_a_call(service, journal)
                    service.start()
            endpoint.settings()
            ids = {put.id for put in producer.puts}
            _close_windows(endpoint, client)
            service.until(
                lambda: ids <= sums.finished(sums.read(journal)), "every window is closed", 90
            )
            assert service.terminate() == 0, service.tail()
            lines = sums.read(journal)
            sums.check(lines, ids, service.kills)
    assert sums.late(lines) > 0, "no record was late"
    windows = {(line["shard"], line["start"]) for line in lines if line["final"]}
    assert len(windows) >= PARTS // 3


def _kill_in_a_call(service: harness.Service, journal: Path) -> None:
    before = len(sums.read(journal))
    service.until(lambda: len(sums.read(journal)) > before, "a call has ended")
    service.kill()


def _close_windows(endpoint: Any, client: Any) -> None:
    """Put a record of a later window into every open shard."""
    endpoint.advance(120_000)
    for number, shard in enumerate(harness.open_shards(client, "orders")):
        client.put_record(
            StreamName="orders",
            Data=json.dumps({"id": -1 - number}).encode(),
            PartitionKey="last",
            ExplicitHashKey=shard["HashKeyRange"]["StartingHashKey"],
        )
