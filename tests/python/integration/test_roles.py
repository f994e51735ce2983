"""Sources are read and documents delivered as a role, whose credentials end while they are used."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import penstock
from penstock import identities
from tests.python.integration import harness
from tests.python.integration.test_destinations import messages, until_told
from tests.services.aws import Endpoint
from tests.services.environment import REGION, clean_process
from tests.services.ministack import ACCOUNT, ministack
from tests.services.sts import LIVES_S, Sts, sts
from tests.services.wire import Scope, wire_server

READER = "arn:aws:iam::123456789012:role/reader"
WRITER = "arn:aws:iam::123456789012:role/writer"
RECORDS = 6_000
# So often the clock is moved by half of a key's life, which is 30 s.
STEP_S = 0.5
LIVES = 6


@pytest.fixture
def roles(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sts]:
    with clean_process(), sts() as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        yield service


@pytest.fixture(scope="module")
def aws() -> Iterator[Endpoint]:
    with clean_process(), ministack() as endpoint:
        yield endpoint


@pytest.mark.slow
def test_credentials_that_end_under_load_cost_nothing(
    roles: Sts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys end by a clock that is moved: the token service's, the server's, and botocore's."""
    monkeypatch.setattr(identities, "now", roles.now)
    seen: list[str] = []
    ended = threading.Event()
    app = penstock.App(state=":memory:", region=REGION)

    def handler(event: dict[str, Any], context: Any) -> None:
        seen.extend(record["kinesis"]["sequenceNumber"] for record in event["Records"])

    with wire_server() as server:
        harness.create_stream(server.client(), "orders", 1)
        app.on(
            "kinesis:orders",
            starting_position="TRIM_HORIZON",
            batch_size=50,
            maximum_retry_attempts=0,
            idle_interval="50ms",
            source_role_arn=READER,
            source_endpoint_url=server.url,
        )(handler)

        expired: set[str] = set()

        def refused() -> int:
            return sum(call.outcome == "ExpiredTokenException" for call in server.calls())

        def move() -> None:
            while not ended.wait(STEP_S):
                roles.advance(LIVES_S / 2)
                server.advance(LIVES_S * 500)
                for key in roles.ended - expired:
                    server.expire_token(access_key=key)
                    expired.add(key)

        clock = threading.Thread(target=move)
        producer = harness.Producer(client=server.client(), stream="orders")
        with app.background() as engine:
            clock.start()
            try:
                deadline = time.monotonic() + 60
                while refused() < LIVES or len(producer.puts) < RECORDS:
                    assert time.monotonic() < deadline, "no request meets the end of its keys"
                    producer.put(100, batch=100)
                    ended.wait(0.02)
            finally:
                ended.set()
                clock.join()
            harness.until_idle(engine)
            [mapping] = engine.snapshot()["mappings"]
    counters = mapping["counters"]
    assert len(seen) == len(set(seen)) == len(producer.puts)
    assert seen == sorted(seen, key=int)
    assert (counters["failed_invocations"], counters["retries"], counters["dropped"]) == (0, 0, 0)
    assert set(roles.roles) == {READER}
    assert len(expired) >= LIVES


def test_a_role_that_cannot_be_assumed_is_named_before_anything_starts(roles: Sts) -> None:
    roles.refuses = True
    app = penstock.App(state=":memory:", region=REGION)
    app.on("kinesis:orders", starting_position="LATEST", source_role_arn=READER)(lambda e, c: None)
    with pytest.raises(penstock.SourceError) as caught:
        app.engine().start()
    assert caught.value.code == "PS202"
    assert f"the role {READER} of kinesis:orders cannot be assumed (AccessDenied)" in str(
        caught.value
    )
    assert "sts:AssumeRole" in str(caught.value.hint)


def test_a_denied_read_is_named_and_tried_again(roles: Sts) -> None:
    handled: list[Any] = []
    app = penstock.App(state=":memory:", region=REGION)
    with wire_server() as server:
        harness.create_stream(server.client(), "orders", 1)
        app.on(
            "kinesis:orders", starting_position="TRIM_HORIZON", idle_interval="50ms",
            source_role_arn=READER, source_endpoint_url=server.url,
        )(lambda event, context: handled.extend(event["Records"]))  # fmt: skip
        with app.background() as engine:
            rule = server.deny_access(Scope(operation="GetRecords"))
            harness.Producer(client=server.client(), stream="orders").put(1)

            def told() -> str:
                return str(engine.snapshot()["mappings"][0]["last_processing_result"])

            harness.until(lambda: "GetRecords" in told(), "the denied action is named")
            assert told().startswith("PROBLEM: ")
            assert "orders" in told()
            server.clear(rule)
            harness.until(lambda: len(handled) == 1, "the record is handled")


def test_documents_are_delivered_as_a_role(roles: Sts, aws: Endpoint) -> None:
    url = aws.client("sqs").create_queue(QueueName="by-role")["QueueUrl"]
    app = _poisoned(aws, "by-role")
    with app.background() as engine:
        engine.put("orders", [("key", b"poison")])
        harness.until_idle(engine)
    assert len(messages(aws, url)) == 1
    assert set(roles.roles) == {WRITER}


def test_a_destinations_role_that_cannot_be_assumed_holds_and_says_so(
    roles: Sts, aws: Endpoint
) -> None:
    roles.refuses = True
    url = aws.client("sqs").create_queue(QueueName="held")["QueueUrl"]
    app = _poisoned(aws, "held")
    with app.background() as engine:
        engine.put("orders", [("key", b"poison")])
        told = until_told(engine, f"the role {WRITER} of")
        assert told["counters"]["awaiting_delivery"] == 1
        roles.refuses = False
        harness.until_idle(engine)
        assert engine.snapshot()["mappings"][0]["counters"]["delivered"] == 1
    [message] = messages(aws, url)
    assert json.loads(message["Body"])["version"] == "1.0"


def _poisoned(aws: Endpoint, queue: str) -> penstock.App:
    app = penstock.App(state=":memory:", streams={"orders": 1}, region=REGION)

    @app.on(
        "stream:orders",
        starting_position="TRIM_HORIZON",
        maximum_retry_attempts=0,
        on_failure=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        destination_role_arn=WRITER,
        destination_endpoint_url=aws.url,
    )
    def handler(event: dict[str, Any], context: Any) -> None:
        raise ValueError("poison")

    return app
