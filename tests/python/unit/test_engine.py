"""Tests starting, watching and stopping an engine, and the control socket beside it."""

from __future__ import annotations

import http.client
import json
import logging
import multiprocessing
import os
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from penstock import _bridge
from penstock.api.client import Client, NoOwner
from penstock.api.control_names import HEADER, HOST
from penstock.api.server import SOCKET, socket_address
from penstock.app import App
from penstock.errors import (
    ConfigurationError,
    ForkedProcess,
    MappingNotFound,
    PenstockError,
    SourceError,
)
from penstock.report import make_report
from penstock.streams import encode_record
from penstock.supervise import Observer, Supervisor
from tests.python.unit.fake_penstock import COUNTERS, FakeRuntime

pytestmark = pytest.mark.usefixtures("fake_runtime")

START: Any = {"starting_position": "TRIM_HORIZON", "retry_attempts": 0}


def make_app(state: Path | str = ":memory:", handler: Any = None, **settings: Any) -> App:
    app = App(state=state, streams={"orders": 1}, **settings)
    app.function(name="orders")(handler or noted)
    app.on("stream:orders", **START)(handler or noted)
    return app


def noted(event: Any, context: Any) -> None:
    """Do nothing."""


def until(done: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_a_run_until_idle_reports_what_it_did() -> None:
    put: list[Any] = []

    class Producer(Observer):
        def __init__(self, engine: Any) -> None:
            self._engine = engine

        def plan(self, plan: Any) -> None:
            put.extend(self._engine.put("orders", [("a", b"1")] * 250))

    engine = make_app().engine()
    report = Supervisor(engine, until="idle", max_time="20s", observer=Producer(engine)).run()
    assert len(put) == 250
    assert (report.records, report.batches, report.lost, report.discarded) == (250, 3, 0, 0)
    assert report.drained
    assert report.exit_code == 0
    assert "250 records in 3 batches, 0 lost, 0 discarded" in report.sentence()
    assert FakeRuntime.made[-1].closed


def test_the_time_is_up_sooner_or_later() -> None:
    begun = time.monotonic()
    make_app().run(max_time="200ms")
    assert time.monotonic() - begun < 30


def test_discarded_records_show_in_the_exit_code() -> None:
    def failing(event: Any, context: Any) -> None:
        raise ValueError("no")

    app = make_app(handler=failing)
    with app.background() as engine:
        engine.put("orders", [("a", b"1")])
        until(lambda: engine.report().discarded == 1)
        report = engine.drain()
    assert report.exit_code == 3


def test_a_drain_that_takes_too_long_says_so() -> None:
    go = threading.Event()
    app = make_app(handler=lambda event, context: go.wait(20), drain_timeout="100ms")
    engine = app.engine()
    engine.start()
    engine.put("orders", [("a", b"1")])
    until(engine.running)
    report = engine.drain()
    assert not report.drained
    assert report.exit_code == 4
    assert report.sentence().startswith("not drained")
    go.set()
    engine.close()


def test_a_report_calls_what_is_nowhere_lost() -> None:
    counters = dict.fromkeys(COUNTERS, 0) | {"polled": 10, "succeeded": 7, "abandoned": 1}
    mapping = {"mapping": "m", "state": "running", "counters": counters}
    report = make_report(
        [mapping], drained=True, duration_seconds=1, drain_seconds=0.5, p99_ms=41.0
    )
    assert report.lost == 2
    assert report.exit_code == 1
    assert report.sentence().endswith("2 lost, 0 discarded, p99 41 ms")


def test_nothing_stays_behind_when_starting_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FakeRuntime, document: bytes) -> str:
        raise SourceError("no such stream", code="PS203")

    monkeypatch.setattr(FakeRuntime, "add_mapping", refuse)
    before = dict(os.environ)
    engine = make_app().engine()
    with pytest.raises(SourceError):
        engine.start()
    engine.close()
    assert FakeRuntime.made[-1].closed
    assert [t.name for t in threading.enumerate() if t.name.startswith("penstock")] == []
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("source", "options"),
    [("stream:nowhere", {}), ("stream:orders", {"on_failure": "stream:nowhere"})],
)
def test_a_stream_that_is_missing_is_told_with_its_mapping(
    source: str, options: dict[str, Any]
) -> None:
    app = App(state=":memory:", streams={"orders": 1})
    app.on(source, **START, **options)(noted)
    with pytest.raises(SourceError) as caught, app.background():
        pass
    assert caught.value.code == "PS203"
    assert "stream create nowhere" in (caught.value.hint or "")
    assert "test_engine.py" in (caught.value.where or "")
    assert FakeRuntime.made[-1].closed


def test_what_the_document_says_is_told_in_the_users_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(document: bytes) -> bytes:
        raise ConfigurationError("0 is less than 1", path="BatchSize")

    monkeypatch.setattr(_bridge, "normalize", refuse)
    app = App(state=":memory:")
    app.on("stream:orders", batch_size=0, **START)(noted)
    with pytest.raises(ConfigurationError, match="batch_size: 0 is less than 1"):
        app.run()


def test_warnings_have_codes_and_can_be_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    def warned(**settings: Any) -> list[str]:
        caplog.clear()
        app = App(state=":memory:", streams={"orders": 1}, workers=1, **settings)
        app.on("stream:orders", starting_position="LATEST", parallelization_factor=4)(noted)
        with caplog.at_level(logging.WARNING, "penstock"), app.background():
            pass
        return [record.getMessage()[:15] for record in caplog.records]

    assert warned() == ["warning[PS801]:", "warning[PS802]:", "warning[PS803]:"]
    assert warned(silence=["PS801", "PS803"]) == ["warning[PS802]:"]


def test_a_destination_that_nothing_would_reach_is_told(caplog: pytest.LogCaptureFixture) -> None:
    first: Any = {"starting_position": "TRIM_HORIZON"}

    def codes(**options: Any) -> list[str]:
        app = App(state=":memory:", streams={"orders": 1}, silence=["PS801"])
        app.on("stream:orders", on_failure="file:failed.jsonl", **first, **options)(noted)
        with caplog.at_level(logging.WARNING, "penstock"), app.background():
            pass
        found = [record.getMessage()[:15] for record in caplog.records]
        caplog.clear()
        return found

    assert codes() == ["warning[PS807]:"]
    assert codes(maximum_retry_attempts=1) == []


def test_the_plan_says_what_a_poison_record_costs() -> None:
    lines: list[str] = []
    app = App(state=":memory:", streams={"orders": 1}, silence=["PS801"])
    app.on(
        "stream:orders", batch_size=1000, bisect_batch_on_function_error=True,
        maximum_retry_attempts=2, starting_position="TRIM_HORIZON",
    )(noted)  # fmt: skip
    engine = app.engine()
    engine.start(lambda plan: lines.extend(each.line() for each in plan))
    engine.close()
    assert "is bisected (one poison record: at most 23 calls), is retried 2 times" in lines[0]


def test_the_plan_is_told_before_the_first_mapping_starts() -> None:
    told: list[str] = []

    class Told(Observer):
        def plan(self, plan: Any) -> None:
            assert FakeRuntime.made[-1].mappings == {}
            told.extend(mapping.line() for mapping in plan)

    make_app().run(until="idle", observer=Told())
    [line] = told
    assert line.startswith("orders ← stream:orders: 1 shard × 1 lane, from TRIM_HORIZON")
    assert "is not retried, then is dropped" in line


def test_mappings_are_found_by_any_of_their_names() -> None:
    with make_app().background() as engine:
        [prepared] = engine.prepared
        for name in (prepared.id, prepared.id[:8], "orders", "stream:orders"):
            assert engine.mapping_id(name) == prepared.id
        with pytest.raises(MappingNotFound, match="nobody") as caught:
            engine.pause("nobody")
        assert "orders" in (caught.value.hint or "")
        engine.pause("orders")
        assert engine.snapshot()["mappings"][0]["state"] == "paused"
        engine.resume("orders")
        assert engine.snapshot()["mappings"][0]["state"] == "running"


@pytest.mark.parametrize(
    "record",
    [
        ("a", b"1"),
        ("a", "1"),
        ("a", bytearray(b"1")),
        {"PartitionKey": "a", "Data": b"1"},
        {"key": "a", "data": "1"},
    ],
)
def test_records_are_pairs_or_dicts(record: Any) -> None:
    assert encode_record(record) == {"key": "a", "data": "MQ==", "hash_key": None}


@pytest.mark.parametrize(
    "record",
    [
        "a",
        ("a",),
        ("a", 1),
        (1, b"1"),
        {"PartitionKey": "a"},
        {"key": "a", "data": b"1", "Data": b"1"},
        {"PartitionKey": "a", "Data": b"1", "hash_key": "1"},
        None,
    ],
)
def test_other_records_are_refused(record: Any) -> None:
    with pytest.raises(ConfigurationError, match="a record") as caught:
        encode_record(record)
    assert caught.value.path == "records"


def test_puts_are_cut_at_the_streams_limits() -> None:
    with make_app().background() as engine:
        commands: list[int] = []
        ask = FakeRuntime.made[-1].streams

        def watched(document: bytes) -> bytes:
            command = json.loads(document)
            if command["op"] == "put":
                commands.append(len(command["records"]))
            return ask(document)

        FakeRuntime.made[-1].streams = watched  # type: ignore[method-assign]
        assert len(engine.put("stream:orders", [("k", b"x")] * 1001)) == 1001
        assert commands == [500, 500, 1]
        commands.clear()
        engine.put("orders", [("k", b"x" * (1 << 20))] * 7)
        assert commands == [4, 3]


def test_a_forked_child_is_told_and_leaves_the_parent_alone() -> None:
    with make_app().background() as engine:
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()

        def child() -> None:
            try:
                engine.snapshot()
            except ForkedProcess as error:
                answers.put(error.hint)
            engine.close()

        process = context.Process(target=child)
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert "forking" in answers.get()
        assert not engine.closed
        engine.snapshot()


def test_signals_are_given_back_as_they_were_found() -> None:
    before = signal.getsignal(signal.SIGTERM)
    make_app().run(until="idle")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_beside_the_main_thread_catches_no_signals() -> None:
    seen: list[Any] = []
    app = make_app()
    before = signal.getsignal(signal.SIGINT)

    def run() -> None:
        seen.append(app.run(until="idle"))
        seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert seen[0].drained
    assert seen[1] is before


def test_an_asyncio_program_is_not_blocked() -> None:
    import asyncio

    async def program() -> int:
        ticks = 0
        async with make_app().running() as engine:
            await asyncio.to_thread(engine.put, "orders", [("a", b"1")])
            while engine.report().records < 1:
                ticks += 1
                await asyncio.sleep(0.005)
        assert engine.closed
        return ticks

    assert asyncio.run(asyncio.wait_for(program(), 60)) >= 0


def test_other_terminals_reach_the_owner(tmp_path: Path) -> None:
    with make_app(tmp_path).background() as engine:
        client = Client(tmp_path)
        assert client.is_answered()
        mode = stat.S_IMODE((tmp_path / SOCKET).stat().st_mode)
        assert mode == 0o600
        assert client.snapshot() == engine.snapshot()
        why = client.why()
        assert why["names"][engine.prepared[0].id]["function"] == "orders"
        client.pause("orders")
        assert client.snapshot()["mappings"][0]["state"] == "paused"
        client.resume("orders")
        assert client.checkpoints("orders") == {"mapping": engine.prepared[0].id, "rows": []}
        answer = json.loads(client.streams(b'{"op": "describe", "name": "orders"}'))
        assert answer["name"] == "orders"
        with pytest.raises(SourceError) as caught:
            client.streams(b'{"op": "describe", "name": "nothing"}')
        assert caught.value.code == "PS203"
        with pytest.raises(MappingNotFound):
            client.pause("nobody")
        with pytest.raises(ConfigurationError):
            client.streams(b"not json")
    assert not (tmp_path / SOCKET).exists()
    with pytest.raises(NoOwner) as missing:
        client.snapshot()
    assert missing.value.code == "PS700"


def test_running_handlers_are_shown_with_the_users_stack(tmp_path: Path) -> None:
    go = threading.Event()

    def waiting(event: Any, context: Any) -> None:
        go.wait(20)

    with make_app(tmp_path, waiting).background() as engine:
        engine.put("orders", [("a", b"1")])
        until(engine.running)
        [running] = Client(tmp_path).why()["running"]
        go.set()
    assert running["function"] == "orders"
    assert "in waiting" in running["stack"][0]
    assert "test_engine.py" in running["stack"][0]
    assert not any("penstock/workers" in line for line in running["stack"])


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/snapshot", {"Host": "evil.example"}, 403),
        ("POST", "/v1/mappings/orders/pause", {"Host": HOST}, 403),
        ("POST", "/v1/mappings/orders/pause", {"Host": HOST, HEADER: "1"}, 403),
        (
            "POST",
            "/v1/mappings/orders/pause",
            {"Host": HOST, "Content-Type": "application/json"},
            403,
        ),
        ("GET", "/v1/mappings/orders/pause", {"Host": HOST, HEADER: "1"}, 405),
        ("DELETE", "/v1/snapshot", {"Host": HOST, HEADER: "1"}, 405),
        ("GET", "/v1/other", {"Host": HOST}, 404),
    ],
)
def test_the_control_socket_refuses_what_a_page_could_send(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    import socket

    with make_app(tmp_path).background() as engine:
        connection = http.client.HTTPConnection("x")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        with socket_address(tmp_path) as address:
            connection.sock.connect(address)
        connection.request(method, path, headers=headers)
        assert connection.getresponse().status == status
        connection.close()
        assert engine.snapshot()["mappings"][0]["state"] == "running"


def test_a_socket_that_a_killed_owner_left_is_replaced(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))
    assert not Client(tmp_path).is_answered()
    with make_app(tmp_path).background():
        assert Client(tmp_path).is_answered()


def test_a_state_directory_may_have_a_long_path(tmp_path: Path) -> None:
    state = tmp_path / ("d" * 120) / ("e" * 120)
    with make_app(state).background():
        assert Client(state).snapshot()["mappings"]


def test_a_socket_that_does_not_answer_is_an_error_of_its_own(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET))
        listener.listen()

        def hang_up() -> None:
            accepted, _ = listener.accept()
            accepted.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(PenstockError) as caught:
            Client(tmp_path).snapshot()
        thread.join()
    assert caught.value.code == "PS700"
    assert caught.value.retryable
