"""Tests how documents are handed over: names, faults, the user's functions, one line each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore import exceptions as boto

from penstock import App, ConfigurationError, MappingConflict
from penstock.deliveries import THREADS_MAX, WAITING_MAX, Line
from penstock.destination_errors import explain, is_denied, is_expired
from penstock.destinations import Document, FunctionTarget, is_aws
from tests.python.unit.fake_penstock import FakeRuntime

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"
ROLE = "arn:aws:iam::123456789012:role/writer"
START = {"starting_position": "TRIM_HORIZON"}


def document(**changes: str) -> Document:
    members = {
        "mapping": "6f7e1b0c-2f1d-4c57-9a37-0f2a2ad0a001", "destination": "s3://b",
        "shard": "shardId-000000000001", "id": "m/s/1-2/3",
        "timestamp": "2026-09-19T00:38:09.021Z", "body": "{}",
    }  # fmt: skip
    return Document(**members | changes)


def refused(code: str, status: int = 400, operation: str = "SendMessage") -> boto.ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(answer, operation)


def test_an_errand_is_a_head_and_the_document_as_it_is() -> None:
    head = {
        "mapping": "m", "destination": "d", "shard": "s", "id": "i", "timestamp": "t",
    }  # fmt: skip
    body = '{"a": "b\\n"}'
    found = Document.parse(json.dumps(head).encode() + b"\n" + body.encode())
    assert (found.mapping, found.body) == ("m", body)


def test_an_object_is_named_as_lambda_names_it_and_always_the_same() -> None:
    key = document().object_key()
    folder = "aws/lambda/6f7e1b0c-2f1d-4c57-9a37-0f2a2ad0a001/shardId-000000000001/2026/09/19/"
    assert key.startswith(f"{folder}2026-09-19T00.38.09-")
    assert len(key.removeprefix(f"{folder}2026-09-19T00.38.09-")) == 36
    assert document().object_key() == key
    assert document(id="other").object_key() != key
    assert document().object_key("a/b/") == f"a/b/{key}"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (refused("AWS.SimpleQueueService.NonExistentQueue"), "not_found", "the queue"),
        (refused("AccessDenied", 403), "denied", "sqs:SendMessage on"),
        (refused("AccessDenied", 403, "GetQueueUrl"), "denied", "sqs:GetQueueUrl on"),
        (refused("AccessDenied", 403, "AssumeRole"), "denied", f"the role {ROLE}"),
        (refused("KMS.AccessDeniedException"), "denied", "kms:GenerateDataKey"),
        (refused("InvalidClientTokenId", 403), "denied", "credentials"),
        (refused("ExpiredToken"), "denied", "credentials"),
        (refused("ThrottlingException"), "throttled", "slow down"),
        (refused("Whatever", 429), "throttled", "slow down"),
        (refused("EntityTooLarge"), "too_large", "too large"),
        (refused("Whatever", 413), "too_large", "too large"),
        (refused("InvalidParameterValue"), "invalid", "InvalidParameterValue"),
        (refused("InternalError", 500), "transient", "InternalError"),
        (boto.ReadTimeoutError(endpoint_url="http://q"), "transient", "http://q"),
        (boto.EndpointConnectionError(endpoint_url="http://q"), "transient", "http://q"),
        (boto.NoCredentialsError(), "denied", "no credentials"),
        (boto.ProfileNotFound(profile="nobody"), "denied", "nobody"),
        (boto.NoRegionError(), "invalid", "no region"),
        (ValueError("secret"), "transient", "ValueError"),
    ],
)
def test_a_failure_is_told_by_its_kind(error: Exception, kind: str, words: str) -> None:
    found, said = explain(error, "sqs", QUEUE, ROLE)
    assert found == kind
    assert words in said
    assert QUEUE in said or "kms:" in said
    assert "secret" not in said


def test_only_what_was_good_expires_and_only_calls_are_denied() -> None:
    assert is_expired(refused("ExpiredToken"))
    assert not is_expired(boto.ReadTimeoutError(endpoint_url="http://q"))
    assert is_denied(refused("AccessDenied"))
    assert not is_denied(refused("AccessDenied", operation="AssumeRole"))


def test_names_of_aws_are_known() -> None:
    for name in (QUEUE, "sqs:q", "sns:t", "s3://b", "arn:aws:s3:::b"):
        assert is_aws(name)
    for name in ("file:a", "stream:a", "function:a"):
        assert not is_aws(name)


def test_a_function_gets_the_document_and_may_refuse_it() -> None:
    kept: list[Any] = []
    assert FunctionTarget("keep", kept.append).deliver(document(body='{"a": 1}')) is None
    assert kept == [{"a": 1}]

    def bad(_: dict[str, Any]) -> None:
        raise SystemExit("bell\a" + "x" * 2_000)

    kind, said = FunctionTarget("bad", bad).deliver(document()) or ("", "")
    assert kind == "transient"
    assert said.startswith("function:bad raised SystemExit: bell ")
    assert len(said) < 1_100


async def later(_: dict[str, Any]) -> None:
    """Would never run."""


@pytest.mark.parametrize("keeper", [later, lambda: None, lambda a, b: None, int])
def test_what_cannot_take_a_document_is_refused_where_it_is_written(
    keeper: Callable[..., Any],
) -> None:
    app = App(state=":memory:")
    with pytest.raises(ConfigurationError) as caught:
        app.on("stream:orders", on_failure=keeper, **START)  # type: ignore[arg-type]
    assert caught.value.code == "PS108"
    assert "test_destinations.py" in str(caught.value.where)


def test_two_functions_of_one_name_are_refused() -> None:
    app = App(state=":memory:")
    app.destination("keep")(lambda document: None)
    with pytest.raises(MappingConflict, match="'keep'"):
        app.destination("keep")(lambda document: None)


class Stuck:
    """A destination that takes nothing until it is told to."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.busy = 0
        self.most = 0
        self._lock = threading.Lock()

    def deliver(self, document: Document) -> None:
        with self._lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
        assert self.free.wait(60)
        with self._lock:
            self.busy -= 1


def test_a_line_has_a_bound_of_threads_and_of_documents() -> None:
    runtime = FakeRuntime(json.dumps({"state_dir": None}).encode())
    target = Stuck()
    line = Line(runtime, "function:stuck", target)  # type: ignore[arg-type]
    taken = sum(line.put(number, document()) for number in range(WAITING_MAX + THREADS_MAX + 10))
    assert WAITING_MAX <= taken <= WAITING_MAX + THREADS_MAX
    target.free.set()
    deadline = time.monotonic() + 60
    while len(runtime.finished) < taken:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert target.most <= THREADS_MAX
    assert {outcome for _, outcome, _ in runtime.finished} == {"done"}
    runtime.close(0)
