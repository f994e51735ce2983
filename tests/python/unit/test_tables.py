"""Tests how the stream of a DynamoDB table is found, and when it cannot be."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from penstock.access import Access
from penstock.errors import SourceError
from penstock.plan import PlannedMapping, warnings
from penstock.sources import parse_source
from tests.python.unit.fake_penstock import FakeRuntime

ORDERS = parse_source("dynamodb:orders")
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-31T12:00:00.000"

SHARD = "shardId-00000001573689847184-864758b"


class Tables(BaseHTTPRequestHandler):
    """Answers as DynamoDB does: operations by name, each with the bodies that are to come."""

    answers: ClassVar[dict[str, list[tuple[int, dict[str, Any]]]]] = {}
    asked: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].split(".")[1]
        self.asked.append((operation, body))
        status, answer = self.answers[operation].pop(0)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Tables.answers = {
        "DescribeTable": [(200, {"Table": {"TableName": "orders", "LatestStreamArn": ARN}})],
        "DescribeStream": [
            (200, described(shard("a", closed=True), shard("b"), last="b")),
            (200, described(shard("c"))),
        ],
    }
    Tables.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Tables) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
                 "HTTPS_PROXY", "HTTP_PROXY", "AWS_SESSION_TOKEN"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")


def shard(name: str, *, closed: bool = False) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": "1"} | ({"EndingSequenceNumber": "9"} if closed else {})
    return {"ShardId": SHARD + name, "SequenceNumberRange": numbers}


def described(*shards: dict[str, Any], last: str | None = None) -> dict[str, Any]:
    stream: dict[str, Any] = {"StreamArn": ARN, "Shards": list(shards)}
    if last is not None:
        stream["LastEvaluatedShardId"] = SHARD + last
    return {"StreamDescription": stream}


def test_a_table_is_resolved_to_its_latest_stream(server: str) -> None:
    access = Access(region="eu-west-1", endpoint=server)
    resolved = access.resolve(ORDERS, where=None)
    assert (resolved.arn, resolved.region, resolved.open_shards) == (ARN, "eu-west-1", 2)
    assert [operation for operation, _ in Tables.asked] == [
        "DescribeTable",
        "DescribeStream",
        "DescribeStream",
    ]
    assert Tables.asked[2][1] == {"StreamArn": ARN, "ExclusiveStartShardId": SHARD + "b"}
    target = FakeRuntime(json.dumps({"state_dir": None}).encode())
    access.attach(target)  # type: ignore[arg-type]
    [pushed] = target.access
    assert pushed["access"] == resolved.access == "dynamodbstreams/eu-west-1"
    assert pushed["endpoint"] == server


def test_an_arn_asks_for_no_table(server: str) -> None:
    resolved = Access(endpoint=server).resolve(parse_source(ARN), where=None)
    assert (resolved.arn, resolved.open_shards) == (ARN, 2)
    assert "DescribeTable" not in [operation for operation, _ in Tables.asked]


def test_each_service_has_the_endpoint_that_aws_users_set(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", server)
    access = Access(region="eu-west-1")
    assert access.resolve(ORDERS, where=None).arn == ARN
    target = FakeRuntime(json.dumps({"state_dir": None}).encode())
    access.attach(target)  # type: ignore[arg-type]
    assert target.access[0]["endpoint"] == server


def test_a_table_without_a_stream(server: str) -> None:
    Tables.answers["DescribeTable"] = [(200, {"Table": {"TableName": "orders"}})]
    error = failure(server)
    assert (error.code, error.source) == ("PS203", "dynamodb:orders")
    assert "has no stream" in error.message
    assert "StreamEnabled=true" in (error.hint or "")


@pytest.mark.parametrize("operation", ["DescribeTable", "DescribeStream"])
@pytest.mark.parametrize(
    ("kind", "code", "says"),
    [
        ("ResourceNotFoundException", "PS203", "does not exist in eu-west-1"),
        ("AccessDeniedException", "PS204", "is denied"),
        ("UnrecognizedClientException", "PS202", "are refused"),
    ],
)
def test_refusals_are_told_by_their_code(
    server: str, operation: str, kind: str, code: str, says: str
) -> None:
    Tables.answers[operation] = [(400, {"__type": f"com.amazonaws#{kind}", "message": "<no>"})]
    error = failure(server)
    assert error.code == code
    assert says in error.message
    if code == "PS204":
        assert "dynamodb:DescribeStream" in (error.hint or "")


def failure(server: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        Access(region="eu-west-1", endpoint=server).resolve(ORDERS, where="app.py:3")
    assert caught.value.where == "app.py:3"
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(("readers", "warned"), [(2, False), (3, True)])
def test_more_than_two_readers_of_a_table_are_warned_of(readers: int, warned: bool) -> None:
    document = {
        "ParallelizationFactor": 1,
        "EventSourceArn": ARN,
        "StartingPosition": "TRIM_HORIZON",
        "MaximumRetryAttempts": 3,
        "MaximumRecordAgeInSeconds": -1,
    }
    plan = [
        PlannedMapping(
            id=str(number), function="f", source="dynamodb:orders", document=document, shards=1,
            slots=8, pool="threads", first_start=True,
        )
        for number in range(readers)
    ]  # fmt: skip
    codes = [code for code, _ in warnings(plan, [])]
    assert codes == (["PS804"] if warned else [])
    assert list(warnings(plan, ["PS804"])) == []
