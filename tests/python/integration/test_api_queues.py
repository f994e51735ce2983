"""The mapping API makes, changes and deletes mappings of queues, and they process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest

import penstock
from penstock.engine import Engine
from tests.services.environment import ACCESS_KEY, SECRET_KEY, clean_environment
from tests.services.wire import sqs_server

EMBEDDED = "arn:aws:penstock:::queue/orders"


class Seen:
    """What the handler was given."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.most = 0
        self._lock = threading.Lock()

    def handler(self, event: dict[str, Any], context: Any) -> None:
        with self._lock:
            self.bodies += [record["body"] for record in event["Records"]]
            self.most = max(self.most, len(event["Records"]))


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in clean_environment().items():
        if name.startswith("AWS_") or name.lower() == "no_proxy":
            monkeypatch.setenv(name, value)


@contextmanager
def api(home: Path, seen: Seen, **settings: Any) -> Iterator[tuple[Engine, Any]]:
    """Run an app with one function and no mappings; gives its engine and a client of its API."""
    app = penstock.App(state=home / "state", api=0, **settings)
    app.function(name="my-function", timeout="20s")(seen.handler)
    app.function(name="slow", timeout="5m")(Seen().handler)
    with app.background() as engine:
        client = boto3.client(
            "lambda",
            endpoint_url=f"http://{engine.api}",
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )
        yield engine, client


def test_an_embedded_queue_is_mapped_changed_and_deleted(tmp_path: Path) -> None:
    seen = Seen()
    queues: dict[str, Any] = {"orders": {"visibility_timeout": 60}}
    with api(tmp_path, seen, queues=queues) as (engine, client):
        made = client.create_event_source_mapping(
            EventSourceArn=EMBEDDED, FunctionName="my-function"
        )
        assert (made["State"], made["StateTransitionReason"]) == ("Creating", "USER_INITIATED")
        assert (made["BatchSize"], made["MaximumBatchingWindowInSeconds"]) == (10, 0)
        assert {"StartingPosition", "DestinationConfig", "LastProcessingResult"}.isdisjoint(made)
        uuid = made["UUID"]
        _until(lambda: _state(client, uuid) == "Enabled")
        engine.send("orders", [f"message {n}" for n in range(50)])
        _until(lambda: len(set(seen.bodies)) == 50)
        client.update_event_source_mapping(
            UUID=uuid, BatchSize=3, ScalingConfig={"MaximumConcurrency": 2}
        )
        _until(lambda: _state(client, uuid) == "Enabled")
        seen.most = 0
        engine.send("orders", [f"message {n}" for n in range(50, 80)])
        _until(lambda: len(set(seen.bodies)) == 80)
        assert seen.most <= 3
        client.update_event_source_mapping(UUID=uuid, Enabled=False)
        _until(lambda: _state(client, uuid) == "Disabled")
        engine.send("orders", ["later"])
        time.sleep(0.5)
        assert "later" not in seen.bodies
        found = client.get_event_source_mapping(UUID=uuid)
        assert "LastProcessingResult" not in found
        assert found["ScalingConfig"] == {"MaximumConcurrency": 2}
        client.delete_event_source_mapping(UUID=uuid)
        _until(lambda: client.list_event_source_mappings()["EventSourceMappings"] == [])
    assert sorted(seen.bodies) == sorted(f"message {n}" for n in range(80))


def test_an_sqs_queue_is_mapped_by_an_alias_and_processed(tmp_path: Path) -> None:
    arn = "arn:aws:sqs:us-east-2:123456789012:orders"
    seen = Seen()
    with sqs_server() as server:
        sqs = server.client("sqs")
        url = sqs.create_queue(QueueName="orders")["QueueUrl"]
        aliases = {arn: {"source": "sqs:orders", "endpoint": server.url}}
        with api(tmp_path, seen, aliases=aliases) as (_, client):
            made = client.create_event_source_mapping(
                EventSourceArn=arn, FunctionName="my-function"
            )
            assert made["EventSourceArn"] == arn
            _until(lambda: _state(client, made["UUID"]) == "Enabled")
            for n in range(20):
                sqs.send_message(QueueUrl=url, MessageBody=f"message {n}")
            _until(lambda: len(set(seen.bodies)) == 20)
            twin = {"EventSourceArn": arn, "FunctionName": "my-function"}
            with pytest.raises(client.exceptions.ResourceConflictException):
                client.create_event_source_mapping(**twin)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"EventSourceArn": EMBEDDED, "FunctionName": "slow"},
            "Queue visibility timeout: 60 seconds is less than Function timeout: 300 seconds",
        ),
        (
            {"EventSourceArn": "arn:aws:penstock:::queue/nothing", "FunctionName": "my-function"},
            (
                "Error occurred while ReceiveMessage. SQS Error Code: "
                "AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue "
                "does not exist."
            ),
        ),
    ],
)
def test_queues_are_refused_in_awss_words(
    tmp_path: Path, request_: dict[str, Any], message: str
) -> None:
    queues: dict[str, Any] = {"orders": {"visibility_timeout": 60}}
    with api(tmp_path, Seen(), queues=queues) as (_, client):
        with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
            client.create_event_source_mapping(**request_)
        assert caught.value.response["Error"]["Message"] == message
        assert client.list_event_source_mappings()["EventSourceMappings"] == []


def _state(client: Any, uuid: str) -> str:
    return str(client.get_event_source_mapping(UUID=uuid)["State"])


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
