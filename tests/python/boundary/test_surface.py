"""Tests the extension's surface: refusals, exceptions, threads, forks and the end of a program."""

import inspect
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock import _bridge, _penstock
from penstock.errors import (
    CODES,
    CheckpointError,
    ConfigurationError,
    ForkedProcess,
    InternalError,
    MappingConflict,
    MappingNotFound,
    RuntimeClosed,
)
from tests.python.boundary.bench import (
    MAPPING,
    POOL,
    ask,
    document,
    filled,
    mapping_document,
    put,
    runtime,
    take,
)
from tests.takes import least

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_every_code_has_a_class_and_a_sentence() -> None:
    assert set(_bridge.error_codes()) <= set(CODES)
    assert len(set(_bridge.error_codes())) == len(_bridge.error_codes())


def test_facts_are_of_this_build() -> None:
    assert _bridge.version() == _bridge.package_version()
    assert {"source:embedded", "source:kinesis", "source:dynamodb"} <= set(_bridge.features())
    assert "BatchSize" in _bridge.config_fields()
    assert "Penstock.Pool" in _bridge.config_fields()


def test_classes_are_frozen_and_final() -> None:
    with runtime() as engine:
        for name in ("closed", "anything"):
            with pytest.raises(AttributeError):
                setattr(engine, name, True)
    with pytest.raises(TypeError):
        type("Mine", (_penstock.Runtime,), {})
    with pytest.raises(TypeError):
        _penstock.Invocation()


def test_mappings_are_added_once_and_known_by_their_id() -> None:
    with runtime() as engine:
        filled(engine, [])
        with pytest.raises(MappingConflict) as conflict:
            engine.add_mapping(mapping_document())
        assert conflict.value.mapping == MAPPING
        for call in (engine.pause, engine.resume, engine.remove_mapping):
            with pytest.raises(MappingNotFound) as caught:
                call(UNKNOWN)
            assert (caught.value.mapping, caught.value.code) == (UNKNOWN, "PS111")
        with pytest.raises(ConfigurationError, match="is not"):
            engine.update_mapping(UNKNOWN, mapping_document())
        engine.update_mapping(MAPPING, mapping_document(BatchSize=7))
        engine.remove_mapping(MAPPING)
        _until(lambda: not json.loads(engine.snapshot())["mappings"])
        with pytest.raises(MappingNotFound):
            engine.pause(MAPPING)


def test_an_invocation_tells_what_it_is() -> None:
    with runtime() as engine:
        [placed] = filled(engine, [("a", b"1")])
        invocation = take(engine)
        assert invocation.mapping == MAPPING
        assert invocation.handler == "orders"
        assert (invocation.attempt, invocation.lane, invocation.record_count) == (1, 0, 1)
        assert invocation.shard == placed["shard"]
        assert len(invocation.request_id) == 36
        assert invocation.fence >= 1
        assert 0 < invocation.remaining_ms <= 60_000
        assert str(invocation.id) in repr(invocation)
        with pytest.raises(AttributeError):
            invocation.attempt = 2  # type: ignore[misc]


def test_a_completed_batch_is_saved_and_a_failed_one_comes_again() -> None:
    with runtime() as engine:
        [placed] = filled(engine, [("a", b"1")], Penstock={"BackoffBaseMs": 1})
        first = take(engine)
        engine.complete(first.mapping, first.id, "raised", None, "ValueError", "no")
        second = take(engine)
        assert (second.attempt, second.request_id) == (2, first.request_id)
        assert second.event() == first.event()
        engine.complete(second.mapping, second.id, "returned")
        _until(lambda: _mapping(engine)["idle"])
        rows = json.loads(engine.checkpoints(MAPPING))
        assert placed["sequence_number"] in json.dumps(rows)
        assert json.loads(engine.checkpoints(UNKNOWN)) == []


def test_checkpoints_are_forgotten_when_the_mapping_has_ended() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")])
        first = take(engine)
        engine.complete(first.mapping, first.id, "returned", b"null")
        _until(lambda: _mapping(engine)["idle"])
        with pytest.raises(ConfigurationError, match="still runs"):
            engine.forget_checkpoints(MAPPING)
        engine.remove_mapping(MAPPING)
        _until(lambda: not json.loads(engine.snapshot())["mappings"])
        assert json.loads(engine.checkpoints(MAPPING)) != []
        engine.forget_checkpoints(MAPPING)
        engine.forget_checkpoints(MAPPING)
        assert json.loads(engine.checkpoints(MAPPING)) == []
        engine.add_mapping(mapping_document(BatchSize=1))
        again = take(engine)
        assert again.event() == first.event()


def test_answers_are_judged_by_the_batch() -> None:
    own = {"BackoffBaseMs": 1}
    reports = ["ReportBatchItemFailures"]
    with runtime() as engine:
        placed = filled(
            engine,
            [("a", b"%d" % n) for n in range(4)],
            Penstock=own,
            FunctionResponseTypes=reports,
        )
        numbers = [each["sequence_number"] for each in placed]
        batch = take(engine)
        failed = {"batchItemFailures": [{"itemIdentifier": numbers[2]}]}
        engine.complete(batch.mapping, batch.id, "returned", json.dumps(failed).encode())
        rest = take(engine)
        shown = [each["kinesis"]["sequenceNumber"] for each in rest.event()["Records"]]
        assert shown == numbers[2:]
        for answer in (b"NaN", b"not json", b'{"batchItemFailures": [{"itemIdentifier": "7"}]}'):
            engine.complete(rest.mapping, rest.id, "returned", answer)
            again = take(engine)
            assert again.attempt > rest.attempt
            rest = again
        engine.complete(rest.mapping, rest.id, "returned", b'{"batchItemFailures": []}')
        _until(lambda: _mapping(engine)["counters"]["succeeded"] == 4)


def test_an_invocation_is_completed_once() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")])
        invocation = take(engine)
        with pytest.raises(ConfigurationError) as caught:
            engine.complete(invocation.mapping, invocation.id, "finished")
        assert caught.value.path == "outcome"
        engine.complete(invocation.mapping, invocation.id, "returned")
        with pytest.raises(InternalError, match="is not out") as again:
            engine.complete(invocation.mapping, invocation.id, "returned")
        assert again.value.mapping == MAPPING
        with pytest.raises(InternalError):
            engine.complete(UNKNOWN, 1, "returned")


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf"), 1e9])
def test_waits_are_bounded(timeout: float) -> None:
    with runtime() as engine:
        calls: list[Callable[[], object]] = [
            lambda: engine.next_invocation(POOL, 0, timeout),
            lambda: engine.next_errand(timeout),
            lambda: engine.drain(timeout),
        ]
        for call in calls:
            with pytest.raises(ConfigurationError) as caught:
                call()
            assert caught.value.path == "timeout"


def test_a_wait_ends_in_time_and_lets_others_run() -> None:
    with runtime() as engine:
        started = time.monotonic()
        assert engine.next_invocation(POOL, 0, 0.2) is None
        assert engine.next_errand(0.2) is None
        assert 0.4 <= time.monotonic() - started < 20
        answers: list[object] = []

        def wait() -> None:
            try:
                answers.append(engine.next_invocation(POOL, 0, 60.0))
            except RuntimeClosed as error:
                answers.append(error.code)

        waiter = threading.Thread(target=wait)
        waiter.start()
        engine.close(2.0)
        waiter.join(50)
        assert answers == ["PS600"]


def test_waiting_for_the_interpreter_is_measured() -> None:
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(range(100))

    with runtime() as engine:
        filled(engine, [("a", b"%d" % n) for n in range(5_000)], BatchSize=1)
        idle = waited(engine)
        busy = threading.Thread(target=compute)
        busy.start()
        try:
            # On a busy machine it may be a while before the other thread runs at all.
            until = time.monotonic() + 60
            while waited(engine) - idle < sys.getswitchinterval():
                assert time.monotonic() < until, "no wait for the interpreter was counted"
                invocation = take(engine)
                engine.complete(invocation.mapping, invocation.id, "returned")
        finally:
            done.set()
            busy.join()


def waited(engine: _bridge.Runtime) -> float:
    return float(json.loads(engine.snapshot())["attach_wait_seconds"])


def test_an_unknown_pool_is_refused() -> None:
    with runtime() as engine, pytest.raises(ConfigurationError) as caught:
        engine.next_invocation("nobody", 0, 0.1)
    with runtime() as engine, pytest.raises(ConfigurationError, match="nobody"):
        engine.keep_lanes("nobody", [0])
    assert caught.value.code == "PS602"


def test_after_close_every_call_says_so() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")])
        invocation = take(engine)
    assert engine.closed
    calls: list[Callable[[], object]] = [
        lambda: engine.add_mapping(mapping_document()),
        lambda: engine.update_mapping(MAPPING, mapping_document()),
        lambda: engine.remove_mapping(MAPPING),
        lambda: engine.pause(MAPPING),
        lambda: engine.keep_lanes(POOL, [0]),
        lambda: engine.resume(MAPPING),
        lambda: engine.next_invocation(POOL, 0, 1.0),
        lambda: engine.complete(MAPPING, invocation.id, "returned"),
        engine.snapshot,
        lambda: engine.next_errand(1.0),
        lambda: engine.finish_errand(1, "done"),
        lambda: engine.push_access(b"{}"),
        lambda: engine.streams(b'{"op": "list"}'),
        lambda: engine.checkpoints(MAPPING),
        lambda: engine.forget_checkpoints(MAPPING),
        lambda: engine.drain(1.0),
        lambda: engine.advance(1),
    ]
    for call in calls:
        with pytest.raises(RuntimeClosed) as caught:
            call()
        assert caught.value.code == "PS600"
    engine.drain_notices(10)
    engine.drain_logs(10)
    engine.close(1.0)


def test_only_a_manual_clock_can_be_moved() -> None:
    with runtime() as engine, pytest.raises(ConfigurationError) as caught:
        engine.advance(1)
    assert caught.value.code == "PS603"
    with runtime(clock="manual") as engine:
        filled(engine, [("a", b"1")])
        invocation = take(engine)
        before = invocation.remaining_ms
        engine.advance(61_000)
        assert invocation.remaining_ms == before - 61_000


def test_streams_are_made_read_split_and_deleted() -> None:
    with runtime() as engine:
        ask(engine, op="create", name="orders", shards=2)
        [stream] = ask(engine, op="list")["streams"]
        assert stream["name"] == "orders"
        placed = put(engine, [("ключ", b"1"), ("b", b"2" * 500)])
        shards = [each["id"] for each in ask(engine, op="describe", name="orders")["shards"]]
        assert len(shards) == 2
        found = [_read(engine, shard)["records"] for shard in shards]
        records = [record for page in found for record in page]
        assert sorted(record["key"] for record in records) == ["b", "ключ"]
        assert {r["sequence_number"] for r in records} == {p["sequence_number"] for p in placed}
        ask(engine, op="split", name="orders", shard=shards[0])
        assert _read(engine, shards[0], after=None)["ended"] is (found[0] == [])
        ask(engine, op="delete", name="orders")
        assert ask(engine, op="list")["streams"] == []


def test_a_state_directory_has_one_owner_and_keeps_its_streams(tmp_path: Path) -> None:
    with runtime(state_dir=str(tmp_path)) as engine:
        ask(engine, op="create", name="orders", shards=1)
        with pytest.raises(CheckpointError) as caught:
            _bridge.Runtime(document(state_dir=str(tmp_path)))
        assert caught.value.code == "PS301"
        assert caught.value.hint
    with runtime(state_dir=str(tmp_path)) as engine:
        assert [each["name"] for each in ask(engine, op="list")["streams"]] == ["orders"]


def test_a_snapshot_shows_the_engine() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")])
        take(engine)
        snapshot = json.loads(engine.snapshot())
        assert snapshot["attach_wait_seconds"] >= 0
        assert snapshot["buffered_bytes"] >= 0
        assert _mapping(engine)["counters"]["in_flight"] == 1


def test_notices_and_logs_are_pulled() -> None:
    with runtime(log_level="debug") as engine:
        filled(engine, [("a", b"1")], MaximumRetryAttempts=0)
        invocation = take(engine)
        engine.complete(invocation.mapping, invocation.id, "raised", None, "ValueError", "no")
        notices: list[tuple[str, str, str, str | None, str]] = []

        def told() -> bool:
            notices.extend(engine.drain_notices(100))
            return bool(notices)

        _until(told)
        mapping, level, code, shard, message = notices[0]
        assert mapping == MAPPING
        assert level in {"debug", "info", "warn", "error"}
        assert code
        assert message
        assert shard is None or shard.startswith("shardId-")
        for when, word, target, text, fields in engine.drain_logs(1000):
            assert abs(when - time.time()) < 60
            assert word in {"trace", "debug", "info", "warn", "error"}
            assert target.startswith("penstock")
            assert isinstance(text, str)
            assert all(isinstance(value, str) for value in fields.values())
        assert engine.drain_notices(0) == []


def test_an_access_is_asked_for_by_errand_and_a_refusal_is_shown() -> None:
    arn = "arn:aws:kinesis:us-east-2:123456789012:stream/orders"
    own = {"Source": arn, "Access": "mine"}
    with runtime() as engine:
        engine.add_mapping(mapping_document(EventSourceArn=arn, Penstock=own))
        errand = engine.next_errand(10.0)
        assert errand is not None
        number, kind, text = errand
        assert kind == "access"
        assert json.loads(text)["access"] == "mine"
        with pytest.raises(ConfigurationError) as caught:
            engine.finish_errand(number, "perhaps")
        assert caught.value.path == "outcome"
        detail = json.dumps({"message": "nobody knows you"}).encode()
        engine.finish_errand(number, "denied", detail)
        _until(lambda: "nobody knows you" in engine.snapshot().decode())


def test_a_forked_child_is_refused_and_leaves_the_parent_alone() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")])
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()

        def child() -> None:
            for call in (engine.snapshot, lambda: engine.next_invocation(POOL, 0, 1.0)):
                try:
                    call()
                except ForkedProcess as error:
                    answers.put((error.code, error.hint))
                else:
                    answers.put(("none", None))

        process = context.Process(target=child)
        process.start()
        process.join(60)
        assert process.exitcode == 0
        for _ in range(2):
            code, hint = answers.get()
            assert code == "PS601"
            assert "spawn" in hint
        take(engine)


@contextmanager
def _builder(invocation: _bridge.Invocation) -> Iterator[None]:
    """Build the event again and again on another thread meanwhile."""
    done = threading.Event()

    def build() -> None:
        while not done.is_set():
            invocation.event()

    builder = threading.Thread(target=build)
    builder.start()
    try:
        yield
    finally:
        done.set()
        builder.join()


def test_a_thread_that_builds_events_without_a_pause_gives_others_their_turn() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")] * 5000)
        with _builder(take(engine)):
            # A switch interval of 5 ms and a slice each; without turns all of them are minutes.
            taken = least(_ten_turns, enough=1)
        assert taken <= 1, f"10 turns took {taken:.1f} s"


def _ten_turns() -> float:
    began = time.monotonic()
    for _ in range(10):
        time.sleep(0.0001)
    return time.monotonic() - began


def test_a_forked_child_has_its_collector_back() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")] * 5000)
        with _builder(take(engine)):
            for _ in range(20):
                child = os.fork()
                if child == 0:
                    import gc

                    os._exit(0 if gc.isenabled() else 1)
                assert os.waitpid(child, 0)[1] == 0


def test_signatures_are_those_of_the_stub() -> None:
    complete = inspect.signature(_penstock.Runtime.complete)
    assert str(complete) == (
        "(self, mapping, invocation, outcome, answer=None, kind=None, message=None, /)"
    )
    assert str(inspect.signature(_penstock.normalize)) == "(document, /)"


def _read(engine: Any, shard: str, after: str | None = None) -> dict[str, Any]:
    return ask(engine, op="read", name="orders", shard=shard, after=after, limit=1000, wait_ms=0)


def _mapping(engine: Any) -> dict[str, Any]:
    [mapping] = json.loads(engine.snapshot())["mappings"]
    found: dict[str, Any] = mapping
    return found


def _until(met: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)
