"""Tests that an event is what Lambda delivers, built anew each time and without traces."""

import base64
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from penstock._bridge import Invocation
from tests.python.boundary.bench import ROLE, filled, runtime, take

# As recorded from Lambda; what depends on the stream is put in by the test.
RECORDED = {
    "kinesis": {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "1",
        "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
        "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
        "approximateArrivalTimestamp": 1545084650.987,
    },
    "eventSource": "aws:kinesis",
    "eventVersion": "1.0",
    "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
    "eventName": "aws:kinesis:record",
    "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
    "awsRegion": "us-east-2",
    "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
}
KEYS = ["1", "ключ", "日本語😀", "ü" * 256, 'quote"back\\slash', "\x01\n\x7f", "plain key"]


def test_a_record_has_lambdas_members_in_lambdas_order() -> None:
    with runtime() as engine:
        [placed] = filled(engine, [("1", b"Hello, this is a test.")])
        invocation = take(engine)
        [record] = invocation.event()["Records"]
    arrival = record["kinesis"]["approximateArrivalTimestamp"]
    assert isinstance(arrival, float)
    number = placed["sequence_number"]
    expected: dict[str, Any] = json.loads(json.dumps(RECORDED))
    expected["kinesis"] |= {"sequenceNumber": number, "approximateArrivalTimestamp": arrival}
    expected["eventID"] = f"{placed['shard']}:{number}"
    expected["eventSourceARN"] = "arn:aws:penstock:::stream/orders"
    assert json.dumps(record) == json.dumps(expected)
    assert record["invokeIdentityArn"] == ROLE


def test_dictionaries_and_json_are_the_same_event() -> None:
    records = [(key, os.urandom(size)) for key in KEYS for size in (0, 1, 100, 4000)]
    with runtime() as engine:
        filled(engine, records)
        invocation = take(engine)
        text, event = invocation.json(), invocation.event()
    assert event == json.loads(text)
    assert json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() == text
    shown = [record["kinesis"] for record in event["Records"]]
    assert [(each["partitionKey"], base64.b64decode(each["data"])) for each in shown] == records


def test_ten_thousand_records_make_one_event() -> None:
    records = [(f"key-{number}", b"%d" % number) for number in range(10_000)]
    with runtime() as engine:
        filled(engine, records)
        invocation = take(engine)
        event = invocation.event()
        assert invocation.record_count == 10_000
        assert event == json.loads(invocation.json())
    shown = [record["kinesis"] for record in event["Records"]]
    assert [(each["partitionKey"], base64.b64decode(each["data"])) for each in shown] == records


def test_every_event_is_fresh() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1"), ("a", b"2")])
        invocation = take(engine)
        first = invocation.event()
        pristine = json.loads(invocation.json())
        for record in first["Records"]:
            record["kinesis"].clear()
            record["eventSource"] = "changed"
        first["Records"].clear()
        assert invocation.event() == pristine


def test_plain_types_all_the_way() -> None:
    event = _event([("ключ", b"1")])
    [record] = event["Records"]
    assert (type(event), type(event["Records"]), type(record)) == (dict, list, dict)
    assert type(record["kinesis"]) is dict
    assert all(type(value) is str for key, value in record.items() if key != "kinesis")
    assert {type(value) for value in record["kinesis"].values()} == {str, float}
    assert all(gc.is_tracked(each) for each in (event, event["Records"], record))


@pytest.mark.parametrize("running", [True, False])
def test_the_collector_is_left_as_it_was_found(running: bool) -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")] * 2000)
        invocation = take(engine)
        (gc.enable if running else gc.disable)()
        try:
            invocation.event()
            assert gc.isenabled() is running
        finally:
            gc.enable()


def test_no_collection_while_an_event_is_built() -> None:
    seen: list[str] = []
    with runtime() as engine:
        filled(engine, [("a", b"1")] * 5000)
        invocation = take(engine)
        gc.callbacks.append(lambda phase, _: seen.append(phase))
        try:
            event = invocation.event()
            during = len(seen)  # a number: anything that the collector tracks would wake it
        finally:
            gc.callbacks.pop()
    assert len(event["Records"]) == 5000
    assert during == 0


def test_events_leave_nothing_behind() -> None:
    with runtime() as engine:
        filled(engine, [("ключ", b"1" * 100)] * 1000)
        invocation = take(engine)
        for _ in range(3):
            invocation.event()
        gc.collect()
        before = len(gc.get_objects()), sys.getallocatedblocks()
        for _ in range(50):
            invocation.event()
        gc.collect()
        after = len(gc.get_objects()), sys.getallocatedblocks()
    assert after[0] - before[0] < 50
    assert after[1] - before[1] < 500


def test_a_dropped_event_is_freed_without_the_collector() -> None:
    event = _event([("a", b"1")] * 1000)
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        del event
        assert before - sys.getallocatedblocks() > 4000
    finally:
        gc.enable()


def test_many_threads_build_while_others_look_at_every_object() -> None:
    done = threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        while not done.is_set():
            for thing in gc.get_objects():
                if type(thing) is list and thing:
                    repr(thing[-1])[:10] if isinstance(thing[-1], str) else thing[-1]

    def build(invocation: Invocation, expected: dict[str, Any]) -> None:
        try:
            for _ in range(5):
                assert invocation.event() == expected
        except BaseException as error:
            failures.append(error)

    with runtime() as engine:
        filled(engine, [("a", b"1")] * 3000)
        invocation = take(engine)
        expected = json.loads(invocation.json())
        looker = threading.Thread(target=look)
        builders = [threading.Thread(target=build, args=(invocation, expected)) for _ in range(3)]
        looker.start()
        _run(builders)
        done.set()
        looker.join()
    assert failures == []
    assert gc.isenabled()


def test_others_run_while_a_large_event_is_built() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")] * 10_000)
        invocation = take(engine)
        # A machine that is busy otherwise may not let the other thread run at all for a while.
        until = time.monotonic() + 60
        while (turns := _turns_of_others(invocation)) < 4:
            assert time.monotonic() < until, f"others had {turns} turns only"


def test_an_invocation_outlives_its_runtime() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")])
        invocation = take(engine)
        expected = json.loads(invocation.json())
    del engine
    assert invocation.event() == expected


def _turns_of_others(invocation: Invocation) -> int:
    moments: list[int] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            moments.append(time.perf_counter_ns())

    interval = sys.getswitchinterval()
    ticker = threading.Thread(target=tick)
    ticker.start()
    sys.setswitchinterval(1e-4)
    try:
        started = time.perf_counter_ns()
        event = invocation.event()
        ended = time.perf_counter_ns()
    finally:
        sys.setswitchinterval(interval)
        done.set()
        ticker.join()
    assert len(event["Records"]) == 10_000
    inside = [moment for moment in moments if started < moment < ended]
    return sum(later - earlier > 50_000 for earlier, later in pairwise(inside))


def _event(records: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    with runtime() as engine:
        filled(engine, records)
        return take(engine).event()


def _run(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
