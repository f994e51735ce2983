"""Tests apps on the real extension: parity, answers of every kind, threads, the harness."""

from __future__ import annotations

import contextlib
import inspect
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from penstock import _bridge
from penstock.app import App
from penstock.engine import Engine
from penstock.errors import CODES, ConfigurationError, PenstockError
from penstock.mappings.model import Mapping
from penstock.options import OPTIONS
from penstock.testing import Harness, harness, penstock_harness
from tests.python.boundary.programs import START, settled

__all__ = ["penstock_harness"]


# What penstock itself puts into the document; nobody writes these as options of a mapping.
OURS = {
    "EventSourceArn", "FunctionArn", "Penstock.Source", "Penstock.Handler", "Penstock.Pool",
    "Penstock.FunctionVersion", "Penstock.RoleArn", "Penstock.FunctionTimeoutMs",
    "Penstock.Region", "Penstock.Access", "Penstock.StreamArn",
}  # fmt: skip


def test_every_field_of_the_document_has_an_option_and_the_other_way_round() -> None:
    known = set(_bridge.config_fields())
    options = {option.path for option in OPTIONS.values()}
    assert options | OURS == known
    names = {field.name for field in fields(Mapping)}
    assert set(OPTIONS) == names - {"source", "function", "origin", "called", "parsed", "keeper"}


def test_every_code_is_of_a_class_that_carries_it() -> None:
    for code in _bridge.error_codes():
        kind, meaning = CODES[code]
        assert meaning
        assert kind("text", code=code).code == code
        assert {"code", "hint", "retryable"} <= set(inspect.signature(kind).parameters)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 10_001),
        ("parallelization_factor", 11),
        ("max_batching_window", 301),
        ("retry_attempts", 10_001),
        ("max_record_age", 59),
        ("max_record_age", 604_801),
        ("function_response_types", ["Bad"]),
        ("backoff_jitter", 1.5),
        ("payload_bytes_max", 1),
        ("on_failure", "stream:orders"),
    ],
)
def test_ranges_are_refused_under_the_name_that_was_written(option: str, value: Any) -> None:
    app = App(state=":memory:", streams={"orders": 1})
    app.on("stream:orders", **START, **{option: value})(lambda event, context: None)
    with pytest.raises(ConfigurationError) as caught, app.background():
        pass
    assert caught.value.path == option
    assert option in caught.value.message
    assert "test_app.py" in (caught.value.where or "")


@contextmanager
def running(handler: Any, **options: Any) -> Iterator[Engine]:
    app = App(state=":memory:", streams={"orders": 1, "bad": 1}, silence=["PS801"])
    app.function(name="orders", timeout="5s")(handler)
    app.on("stream:orders", **START, **options)(handler)
    with app.background() as engine:
        yield engine


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (None, True),
        ("", True),
        ([], True),
        ({}, True),
        ({"batchItemFailures": []}, True),
        ({"batchItemFailures": None}, True),
        ({"other": Decimal("1.5")}, True),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, False),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, False),
        ({"batchItemFailures": [{"itemIdentifier": 123}]}, False),
        ({"batchItemFailures": [{"itemIdentifier": "7"}]}, False),
        ({"batchItemFailures": [{"foo": 123}]}, False),
        ({"batchItemFailures": ["1"]}, False),
        ({"batchItemFailures": "1"}, False),
        ("text", False),
        (7, False),
        (True, False),
        ([1], False),
        (b"bytes", False),
        (float("nan"), False),
        ((number for number in range(3)), False),
        (CYCLE, False),
        ({1, 2}, False),
        ("x" * (6 * 1024 * 1024), False),
    ],
)
def test_any_answer_is_a_success_or_a_failed_batch(answer: Any, good: bool) -> None:
    options: Any = {"report_batch_item_failures": True, "retry_attempts": 0}
    with running(lambda event, context: answer, **options) as engine:
        engine.put("orders", [("a", b"1"), ("a", b"2")])
        counters = settled(engine, 2)
    assert counters["succeeded"] == (2 if good else 0)
    assert counters["dropped"] == (0 if good else 2)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError, MemoryError])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_whatever_is_raised_fails_the_batch_and_the_next_one_runs(
    error: type[BaseException], kind: str
) -> None:
    def fail(event: Any) -> None:
        if event["Records"][0]["kinesis"]["partitionKey"] == "bad":
            raise error("on purpose")

    def plain(event: Any, context: Any) -> None:
        fail(event)

    async def coroutine(event: Any, context: Any) -> None:
        fail(event)

    handler = plain if kind == "plain" else coroutine
    with running(handler, retry_attempts=0, batch_size=1) as engine:
        engine.put("orders", [("bad", b"1"), ("good", b"2")])
        counters = settled(engine, 2)
    assert (counters["succeeded"], counters["dropped"]) == (1, 1)


def test_several_threads_may_use_an_engine_at_once() -> None:
    errors: list[BaseException] = []
    with running(lambda event, context: None) as engine:

        def use(call: Callable[[], object]) -> None:
            try:
                for _ in range(50):
                    call()
            except BaseException as error:
                errors.append(error)

        calls: list[Callable[[], object]] = [
            engine.snapshot,
            lambda: engine.put("orders", [("a", b"1")]),
            lambda: engine.pause("orders"),
            lambda: engine.resume("orders"),
            engine.running,
            engine.report,
        ]
        threads = [threading.Thread(target=use, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        engine.resume("orders")
        assert settled(engine, 50)["succeeded"] == 50
    assert errors == []


def test_closing_while_others_call_raises_nothing_but_our_own() -> None:
    strange: list[BaseException] = []
    app = App(state=":memory:", streams={"orders": 1}, silence=["PS801"])
    app.on("stream:orders", **START)(lambda event, context: None)
    engine = app.engine()
    engine.start()

    def use() -> None:
        with contextlib.suppress(PenstockError):
            while True:
                engine.put("orders", [("a", b"1")])

    def watch() -> None:
        try:
            use()
        except BaseException as error:
            strange.append(error)

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    engine.close()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert strange == []


def test_waits_pass_at_once_in_a_harness(penstock_harness: Any) -> None:
    attempts: list[int] = []

    def handler(event: Any, context: Any) -> None:
        attempts.append(context.penstock.attempt)
        if len(attempts) < 6:
            raise ValueError("not yet")

    app = App(streams={"orders": 1})
    app.on("stream:orders", **START, backoff_base="10s", backoff_cap="5m")(handler)
    begun = time.monotonic()
    with penstock_harness(app) as bench:
        bench.put("orders", [("a", b"1")])
        bench.run_until_idle()
        assert bench.counters()["succeeded"] == 1
    assert attempts == [1, 2, 3, 4, 5, 6]
    assert time.monotonic() - begun < 60, "the waits are five minutes"


def test_a_harness_shows_what_was_given_up() -> None:
    def handler(event: Any, context: Any) -> None:
        raise ValueError("never")

    app = App(streams={"bad": 1})
    app.on("stream:orders", **START, retry_attempts=2, on_failure="stream:bad")(handler)
    with harness(app, streams={"orders": 2}) as bench:
        assert isinstance(bench, Harness)
        bench.put("orders", [("a", b"1")])
        bench.run_until_idle()
        [document] = [json.loads(record.data) for record in bench.records("bad")]
        assert document["requestContext"]["approximateInvokeCount"] == 3
        assert [record.key for record in bench.records("stream:orders")] == ["a"]


def test_a_harness_fails_with_the_reason_when_nothing_comes_to_rest() -> None:
    def handler(event: Any, context: Any) -> None:
        raise ValueError("never")

    app = App(streams={"orders": 1})
    app.on("stream:orders", **START)(handler)
    with harness(app) as bench:
        bench.put("orders", [("a", b"1")])
        with pytest.raises(AssertionError, match=r"not idle within 10\.0 s of virtual time"):
            bench.run_until_idle(virtual="10s")
