"""A record that cannot be handled reaches each kind of destination as Lambda would send it."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import penstock
from tests.python.integration import harness
from tests.services.aws import Endpoint
from tests.services.environment import REGION, clean_process
from tests.services.ministack import ACCOUNT, ministack

DOWN_S = 20
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
STREAM = "arn:aws:penstock:::stream/orders"
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MAPPING = "6f7e1b0c-2f1d-4c57-9a37-0f2a2ad0a001"


@pytest.fixture(scope="module")
def aws() -> Iterator[Endpoint]:
    with clean_process(), ministack() as endpoint:
        yield endpoint


def app_with(endpoint: str | None, destination: Any, **options: Any) -> penstock.App:
    """Give an app whose handler refuses poison; batches of one, retried once."""
    app = penstock.App(state=":memory:", streams={"orders": 1}, region=REGION, endpoint=endpoint)

    @app.on(
        "stream:orders",
        uuid=MAPPING,
        starting_position="TRIM_HORIZON",
        batch_size=1,
        maximum_retry_attempts=1,
        backoff_base="1ms",
        backoff_cap="1ms",
        on_failure=destination,
        **options,
    )
    def orders(event: dict[str, Any], context: Any) -> None:
        if any(b"poison" in base64.b64decode(r["kinesis"]["data"]) for r in event["Records"]):
            raise ValueError("poison")

    return app


def run(app: penstock.App, records: tuple[bytes, ...] = (b"good", b"poison", b"fine")) -> Any:
    """Let the records through; give the counters and what was put where."""
    with app.background() as engine:
        placed = engine.put("orders", [("key", data) for data in records])
        harness.until_idle(engine)
        [mapping] = engine.snapshot()["mappings"]
    return mapping["counters"], placed


def judge(document: dict[str, Any], number: str, records: int = 1) -> None:
    """Compare a document with Lambda's, member by member, in their order."""
    assert list(document) == [
        "requestContext", "responseContext", "version",
        *(["payload"] if "payload" in document else []), "timestamp", "KinesisBatchInfo",
    ]  # fmt: skip
    request = document["requestContext"]
    assert list(request) == ["requestId", "functionArn", "condition", "approximateInvokeCount"]
    assert re.fullmatch(UUID, request.pop("requestId"))
    assert request == {
        "functionArn": f"arn:aws:lambda:{REGION}:000000000000:function:orders",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 2,
    }
    assert document["responseContext"] == {
        "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled",
    }  # fmt: skip
    assert document["version"] == "1.0"
    assert re.fullmatch(MOMENT, document["timestamp"])
    info = document["KinesisBatchInfo"]
    for name in ("approximateArrivalOfFirstRecord", "approximateArrivalOfLastRecord"):
        assert re.fullmatch(MOMENT, info.pop(name))
    assert info == {
        "shardId": "shardId-000000000000", "startSequenceNumber": number,
        "endSequenceNumber": number, "batchSize": records, "streamArn": STREAM,
    }  # fmt: skip


def messages(aws: Endpoint, url: str) -> list[dict[str, Any]]:
    """Take every message of a queue."""
    sqs = aws.client("sqs")
    found: list[dict[str, Any]] = []
    while taken := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        found += taken
    return found


@pytest.mark.parametrize("form", ["arn:aws:sqs:{region}:{account}:{name}", "sqs:{name}"])
def test_a_queue_gets_metadata_only(aws: Endpoint, form: str) -> None:
    name = f"failed-{len(form)}"
    url = aws.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    destination = form.format(region=REGION, account=ACCOUNT, name=name)
    counters, placed = run(app_with(aws.url, destination))
    [message] = messages(aws, url)
    assert "MessageAttributes" not in message
    assert ": " not in message["Body"], "the text is compact"
    judge(json.loads(message["Body"]), placed[1]["sequence_number"])
    assert (counters["delivered"], counters["succeeded"], counters["dropped"]) == (1, 2, 0)


@pytest.mark.parametrize("form", ["arn:aws:sns:{region}:{account}:{name}", "sns:{name}"])
def test_a_topic_gets_metadata_as_its_message(aws: Endpoint, form: str) -> None:
    name = f"failed-topic-{len(form)}"
    url = aws.client("sqs").create_queue(QueueName=f"{name}-listener")["QueueUrl"]
    sns = aws.client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    listener = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-listener"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=listener)
    destination = form.format(region=REGION, account=ACCOUNT, name=name)
    counters, placed = run(app_with(aws.url, destination))
    [message] = messages(aws, url)
    notification = json.loads(message["Body"])
    assert not notification.get("Subject")
    assert not notification.get("MessageAttributes")
    judge(json.loads(notification["Message"]), placed[1]["sequence_number"])
    assert counters["delivered"] == 1


@pytest.mark.parametrize(
    ("destination", "prefix"),
    [
        ("arn:aws:s3:::failed-a", ""),
        ("s3://failed-a", ""),
        ("s3://failed-a/of/orders", "of/orders/"),
    ],
)
def test_a_bucket_gets_the_event_too(aws: Endpoint, destination: str, prefix: str) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="failed-a")
    for old in s3.list_objects_v2(Bucket="failed-a").get("Contents", []):
        s3.delete_object(Bucket="failed-a", Key=old["Key"])
    counters, placed = run(app_with(aws.url, destination))
    [listed] = s3.list_objects_v2(Bucket="failed-a")["Contents"]
    taken = s3.get_object(Bucket="failed-a", Key=listed["Key"])
    document = json.loads(taken["Body"].read())
    event = json.loads(document["payload"])
    judge(document, placed[1]["sequence_number"])
    assert [base64.b64decode(r["kinesis"]["data"]) for r in event["Records"]] == [b"poison"]
    assert event["Records"][0]["kinesis"]["sequenceNumber"] == placed[1]["sequence_number"]
    assert taken["ContentType"] == "application/octet-stream"
    moment = document["timestamp"][:19].replace(":", ".")
    day = moment[:10].replace("-", "/")
    key = rf"{prefix}aws/lambda/{MAPPING}/shardId-000000000000/{day}/{re.escape(moment)}-{UUID}"
    assert re.fullmatch(key, listed["Key"])
    assert counters["delivered"] == 1


def test_a_function_gets_the_event_too() -> None:
    kept: list[dict[str, Any]] = []
    counters, placed = run(app_with(None, kept.append))
    judge(kept[0], placed[1]["sequence_number"])
    assert "payload" in kept[0]
    assert (len(kept), counters["delivered"]) == (1, 1)


def test_a_function_that_raises_is_called_again_with_the_same_document() -> None:
    kept: list[dict[str, Any]] = []

    def keep(document: dict[str, Any]) -> None:
        kept.append(document)
        if len(kept) < 3:
            raise OSError("the disk is full")

    counters, _ = run(app_with(None, keep))
    assert len(kept) == 3
    assert kept[0] == kept[1] == kept[2]
    assert (counters["delivered"], counters["succeeded"], counters["dropped"]) == (1, 2, 0)


def test_a_registered_function_is_found_by_its_name() -> None:
    app = app_with(None, "function:archive")
    kept: list[dict[str, Any]] = []

    @app.destination("archive")
    def keep(document: dict[str, Any]) -> None:
        kept.append(document)

    run(app)
    assert len(kept) == 1


def test_a_function_that_is_not_there_is_refused_before_anything_starts() -> None:
    with pytest.raises(penstock.ConfigurationError, match="no function 'nobody'"):
        app_with(None, "function:nobody").engine()


@pytest.mark.parametrize("action", ["hold", "drop"])
def test_a_queue_that_does_not_exist(aws: Endpoint, action: str) -> None:
    destination = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone-{action}"
    app = app_with(aws.url, destination, on_destination_failure=action)
    with app.background() as engine:
        engine.put("orders", [("key", b"poison"), ("key", b"good")])
        if action == "drop":
            harness.until_idle(engine)
            counters = engine.snapshot()["mappings"][0]["counters"]
            assert (counters["dropped"], counters["succeeded"]) == (1, 1)
            return
        told = until_told(engine, "does not exist")
        assert told["last_processing_result"].startswith(f"PROBLEM: destination {destination}")
        assert told["counters"]["awaiting_delivery"] == 1
        aws.client("sqs").create_queue(QueueName=f"gone-{action}")
        harness.until_idle(engine)
        [mapping] = engine.snapshot()["mappings"]
    assert mapping["last_processing_result"] == "OK"
    assert (mapping["counters"]["delivered"], mapping["counters"]["dropped"]) == (1, 0)


@pytest.mark.slow
def test_a_bucket_that_is_down_holds_and_loses_nothing(aws: Endpoint) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="down-for-a-while")
    app = app_with(aws.url, "s3://down-for-a-while")
    with app.background() as engine:
        os.kill(aws.child.pid, signal.SIGSTOP)
        try:
            down_since = time.monotonic()
            placed = engine.put(
                "orders", [("key", b"poison"), ("key", b"good"), ("key", b"poison")]
            )
            told = until_told(engine, "cannot be reached")
            assert told["counters"]["succeeded"] == 1, "the lane goes on behind it"
            while time.monotonic() < down_since + DOWN_S:
                [row] = engine.checkpoints(MAPPING)
                assert row["checkpoint"]["position"] == "TrimHorizon", "the checkpoint waits"
                time.sleep(0.2)
        finally:
            os.kill(aws.child.pid, signal.SIGCONT)
        harness.until_idle(engine)
        [mapping] = engine.snapshot()["mappings"]
        [row] = engine.checkpoints(MAPPING)
    last = placed[-1]["sequence_number"]
    assert row["checkpoint"]["position"]["After"]["sequence"] == last
    counters = mapping["counters"]
    assert (counters["delivered"], counters["succeeded"], counters["dropped"]) == (2, 1, 0)
    # Calls that were given up have reached the bucket all the same; the names are the same too.
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="down-for-a-while")["Contents"]]
    found = [
        json.loads(s3.get_object(Bucket="down-for-a-while", Key=k)["Body"].read()) for k in keys
    ]
    numbers = sorted(each["KinesisBatchInfo"]["startSequenceNumber"] for each in found)
    assert numbers == sorted([placed[0]["sequence_number"], last])


def test_a_dead_destination_starves_no_other() -> None:
    released = threading.Event()
    kept: list[dict[str, Any]] = []

    def stuck(document: dict[str, Any]) -> None:
        assert released.wait(30)

    app = app_with(None, stuck)

    @app.on(
        "stream:orders", starting_position="TRIM_HORIZON", batch_size=1,
        maximum_retry_attempts=0, on_failure=kept.append,
    )  # fmt: skip
    def others(event: dict[str, Any], context: Any) -> None:
        raise ValueError("all of them")

    with app.background() as engine:
        engine.put("orders", [(f"key-{n}", b"poison") for n in range(12)])
        harness.until(lambda: len(kept) == 12, "the other destination has everything")
        released.set()
        harness.until_idle(engine)


def until_told(engine: Any, words: str) -> dict[str, Any]:
    """Wait until the one mapping's lane says that its destination fails so."""

    def stalls() -> list[dict[str, Any]]:
        [mapping] = engine.snapshot()["mappings"]
        lanes = [lane["stall"] for shard in mapping["shards"] for lane in shard["lanes"]]
        return [stall for stall in lanes if stall and stall["reason"] == "destination_failing"]

    harness.until(
        lambda: any(words in stall["message"] for stall in stalls()), f"why says {words!r}"
    )
    [mapping] = engine.snapshot()["mappings"]
    return dict(mapping)
