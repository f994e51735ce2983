"""Tests the loops that run handlers: every end of a call, on threads and on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from penstock.app import App
from penstock.context import Context
from penstock.engine import Engine
from penstock.workers.answers import UnusableAnswer, encode_answer
from penstock.workers.failures import message_of, safe_text
from penstock.workers.stats import Durations
from tests.python.unit.fake_penstock import FakeRuntime

pytestmark = pytest.mark.usefixtures("fake_runtime")

CYCLE: list[Any] = []
CYCLE.append(CYCLE)


class Unprintable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")


@contextmanager
def started(handler: Any, *, timeout: str = "30s", **settings: Any) -> Iterator[Engine]:
    app = App(state=":memory:", streams={"orders": 1}, silence=["PS801"], **settings)
    app.function(name="orders", timeout=timeout, memory_size=512)(handler)
    app.on("stream:orders", batch_size=10, starting_position="TRIM_HORIZON", retry_attempts=0)(
        handler
    )
    with app.background() as engine:
        yield engine


def ending_of(handler: Any, **settings: Any) -> tuple[Any, ...]:
    """Run one invocation and give what was reported: outcome, answer, kind, message."""
    with started(handler, **settings) as engine:
        engine.put("orders", [("a", b"1")])
        until(lambda: bool(FakeRuntime.made[-1].completed))
        return FakeRuntime.made[-1].completed[0][2:]


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def both(answer: Callable[[], Any]) -> list[Any]:
    """Make a plain handler and a coroutine of one body."""

    def plain(event: Any, context: Any) -> Any:
        return answer()

    async def coroutine(event: Any, context: Any) -> Any:
        return answer()

    return [plain, coroutine]


def _have_completed(wanted: int) -> bool:
    return len(FakeRuntime.made[-1].completed) == wanted


def stop(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, None),
        ("", b'""'),
        ({"batchItemFailures": []}, b'{"batchItemFailures":[]}'),
        ({"n": Decimal("1.5")}, b'{"n":1.5}'),
        ((1, 2), b"[1,2]"),
        ({1: True}, b'{"1":true}'),
    ],
)
def test_answers_are_reported_as_json(answer: Any, expected: bytes | None) -> None:
    for handler in both(lambda: answer):
        assert ending_of(handler) == ("returned", expected, None, None)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"bytes", "bytes"),
        ({"x": {1, 2}}, "set"),
        (float("nan"), "not JSON"),
        (float("inf"), "not JSON"),
        (Decimal("NaN"), "not a number"),
        ((number for number in range(3)), "generator"),
        (CYCLE, "not JSON"),
        ("x" * (6 * 1024 * 1024), "more than 6 MB"),
        ({(1, 2): 3}, "not JSON"),
        ("\ud800", None),
    ],
)
def test_what_is_no_answer_fails_the_batch(answer: Any, says: str | None) -> None:
    if says is None:  # a lone surrogate is escaped, as Lambda's own runtime does
        assert encode_answer(answer) == b'"\\ud800"'
        return
    with pytest.raises(UnusableAnswer, match=says):
        encode_answer(answer)
    outcome, sent, kind, message = ending_of(both(lambda: answer)[0])
    assert (outcome, sent, kind) == ("raised", None, "UnusableAnswer")
    assert says in message


def test_deep_nesting_fails_the_batch() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnusableAnswer, match="nested too deeply"):
        encode_answer(deep)


def test_a_forgotten_await_fails_the_batch() -> None:
    async def later() -> None:
        """Never run."""

    def forgets(event: Any, context: Any) -> Any:
        return later()

    outcome, _, _, message = ending_of(forgets)
    assert outcome == "raised"
    assert "nothing awaited" in message


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(0), KeyboardInterrupt(), GeneratorExit(), Unprintable()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_handler_raises_fails_its_batch_only(error: BaseException) -> None:
    for handler in both(lambda: stop(error)):
        with started(handler) as engine:
            engine.put("orders", [("a", b"1"), ("b", b"2")])
            until(lambda: bool(FakeRuntime.made[-1].completed))
            outcome, answer, kind, _ = FakeRuntime.made[-1].completed[0][2:]
            assert (outcome, answer, kind) == ("raised", None, type(error).__name__)
            engine.put("orders", [("a", b"3")])
            until(lambda: len(FakeRuntime.made[-1].completed) == 2)


def test_a_task_that_exits_does_not_end_the_loop() -> None:
    async def handler(event: Any, context: Any) -> None:
        task = asyncio.create_task(_exits())
        with contextlib.suppress(BaseException):
            await task

    with started(handler) as engine:
        for _ in range(2):
            engine.put("orders", [("a", b"1")])
        until(lambda: len(FakeRuntime.made[-1].completed) >= 1)


async def _exits() -> None:
    sys.exit(1)


def test_a_slow_thread_is_timed_out_when_it_returns_whatever_it_says() -> None:
    def handler(event: Any, context: Context) -> str:
        time.sleep(0.15)
        assert context.get_remaining_time_in_millis() == 0
        return "done"

    assert ending_of(handler, timeout="100ms")[0] == "timed_out"


def test_a_slow_coroutine_is_cancelled() -> None:
    seen: list[str] = []

    async def handler(event: Any, context: Context) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    begun = time.monotonic()
    assert ending_of(handler, timeout="100ms")[0] == "timed_out"
    assert seen == ["cancelled"]
    assert time.monotonic() - begun < 20, "it sleeps for thirty seconds"


def test_a_coroutine_that_swallows_its_cancellation_is_timed_out_all_the_same() -> None:
    async def handler(event: Any, context: Context) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return "done"

    assert ending_of(handler, timeout="100ms")[0] == "timed_out"


def test_a_timeout_that_the_handler_raises_itself_is_an_exception() -> None:
    for handler in both(lambda: stop(TimeoutError("its own"))):
        assert ending_of(handler)[0] == "raised"


def test_coroutines_run_at_once_up_to_their_permits() -> None:
    running = 0
    most = 0
    # Of the loop's own thread, so that it is made there.
    both: list[asyncio.Event] = []

    async def handler(event: Any, context: Context) -> None:
        nonlocal running, most
        both[:] = both or [asyncio.Event()]
        running += 1
        most = max(most, running)
        if running == 2:
            both[0].set()
        await asyncio.wait_for(both[0].wait(), 20)
        await asyncio.sleep(0.05)  # a third one would begin meanwhile
        running -= 1

    app = App(state=":memory:", coroutines=2, streams=dict.fromkeys("abc", 1), silence=["PS801"])
    for stream in "abc":
        app.on(f"stream:{stream}", starting_position="TRIM_HORIZON")(handler)
    with app.background() as engine:
        for stream in "abc":
            engine.put(stream, [("k", b"1")])
        until(lambda: len(FakeRuntime.made[-1].completed) == 3)
    assert most == 2


def test_the_context_is_lambdas() -> None:
    seen: list[Context] = []
    assert ending_of(lambda event, context: seen.append(context))[0] == "returned"
    [context] = seen
    assert context.function_name == "orders"
    assert context.function_version == "$LATEST"
    assert context.memory_limit_in_mb == "512"
    assert context.invoked_function_arn.endswith(":function:orders")
    assert context.log_group_name == "/aws/lambda/orders"
    assert "[$LATEST]" in context.log_stream_name
    assert context.aws_request_id
    assert context.client_context is None
    assert context.identity.cognito_identity_id is None
    assert 0 < context.get_remaining_time_in_millis() <= 30_000
    assert context.penstock.shard == "shardId-000000000000"
    assert (context.penstock.lane, context.penstock.attempt, context.penstock.fence) == (0, 1, 1)
    kept = context.get_remaining_time_in_millis()
    time.sleep(0.02)
    assert context.get_remaining_time_in_millis() == kept, "a kept context holds no invocation"
    assert "aws_request_id=" in repr(context)


def test_a_context_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending_of(lambda event, context: context.log("hello\n"))[0] == "returned"
    assert capsys.readouterr().out == "hello\n"


def test_the_environment_is_lambdas_while_an_engine_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "mine")
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    seen: list[dict[str, str]] = []
    assert ending_of(lambda event, context: seen.append(dict(os.environ)))[0] == "returned"
    assert seen[0]["AWS_LAMBDA_FUNCTION_NAME"] == "orders"
    assert seen[0]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert seen[0]["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/orders"
    assert seen[0]["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert os.environ["AWS_LAMBDA_LOG_GROUP_NAME"] == "mine"
    assert "_X_AMZN_TRACE_ID" not in os.environ
    ending_of(lambda event, context: seen.append(dict(os.environ)), lambda_environment=False)
    assert "AWS_LAMBDA_FUNCTION_NAME" not in seen[1]


def test_failures_are_told_once_with_the_users_frames_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(event: Any, context: Any) -> None:
        try:
            stop(KeyError("first"))
        except KeyError as error:
            raise ValueError("bad \x1b[31m\n" + "x" * 3000) from error

    with caplog.at_level(logging.ERROR, "penstock"), started(handler) as engine:
        for count in range(1, 11):
            engine.put("orders", [("a", b"secret payload")])
            until(partial(_have_completed, count))
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert "ValueError: bad \\x1b[31m\\n" in texts[0]
    assert "caused by KeyError" in texts[0]
    assert "test_workers.py" in texts[0]
    assert "penstock/workers" not in texts[0]
    assert "(10 times so far)" in texts[1]
    assert all("\x1b" not in text and "secret" not in text for text in texts)
    assert len(FakeRuntime.made[-1].completed[0][5].encode()) <= 1024


def test_text_is_made_safe() -> None:
    assert safe_text("a\r\nb\x07\u202e") == "a\\r\\nb\\x07\\u202e"
    assert len(safe_text("é" * 5000).encode()) <= 1024
    assert message_of(Unprintable()) == "(its text cannot be had)"


def test_workers_have_left_when_the_engine_is_closed() -> None:
    with started(lambda event, context: None, workers=4):
        names = [thread.name for thread in threading.enumerate()]
        assert sum(name.startswith("penstock-worker") for name in names) == 4
        assert not any(t.daemon for t in threading.enumerate() if t.name.startswith("penstock"))
    left = [t.name for t in threading.enumerate() if t.name.startswith("penstock")]
    assert left == []


def test_durations_are_kept_as_a_histogram() -> None:
    durations = Durations()
    assert durations.percentile_ms(0.99) is None
    for milliseconds in range(1, 101):
        durations.add(milliseconds / 1000)
    found = durations.percentile_ms(0.99)
    assert found == pytest.approx(99, rel=0.11)
    durations.add(1e9)
    assert durations.percentile_ms(1.0) is not None


def test_the_event_is_a_plain_dict() -> None:
    seen: list[Any] = []
    assert ending_of(lambda event, context: seen.append(event))[0] == "returned"
    assert type(seen[0]) is dict
    assert type(seen[0]["Records"]) is list
    assert json.loads(json.dumps(seen[0])) == seen[0]
