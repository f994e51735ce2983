"""What an SQS message holds reaches the handler as Lambda shows it: members, order, every byte."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Callable
from typing import Any

import penstock
from tests.python.integration.queues import Queue
from tests.services.environment import clean_process
from tests.services.wire import SqsServer, sqs_server

ACCOUNT = "000000000000"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
TIMES = ("SentTimestamp", "ApproximateFirstReceiveTimestamp")


def test_a_message_of_one_mebibyte_comes_through_to_the_byte() -> None:
    # Every character that SQS takes and JSON escapes, and two that take more than one byte.
    piece = '"\\/\t\n\r é😀'
    body = piece * ((1 << 20) // len(piece.encode()))
    body += "x" * ((1 << 20) - len(body.encode()))
    assert len(body.encode()) == 1 << 20
    with sqs_server() as server:
        queue = Queue(server.client("sqs"), "orders")
        [record] = _received(server, queue, lambda: _send(queue, MessageBody=body))
        queue.until_empty()
    assert record["body"] == body
    assert record["md5OfBody"] == hashlib.md5(body.encode()).hexdigest()


def test_a_standard_message_has_lambdas_members_in_lambdas_order() -> None:
    with sqs_server() as server:
        queue = Queue(server.client("sqs"), "orders")
        [record] = _received(server, queue, lambda: _send(queue, MessageBody="Test message."))
    _check_times(record)
    assert json.dumps(record) == json.dumps(
        {
            "messageId": record["messageId"],
            "receiptHandle": record["receiptHandle"],
            "body": "Test message.",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": record["attributes"]["SentTimestamp"],
                "SenderId": record["attributes"]["SenderId"],
                "ApproximateFirstReceiveTimestamp": record["attributes"][TIMES[1]],
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders",
            "awsRegion": "us-east-1",
        }
    )


def test_a_fifo_message_shows_its_group_its_trace_and_its_bytes() -> None:
    attributes: dict[str, dict[str, Any]] = {
        "Title": {"DataType": "String", "StringValue": 'The "Whistler"\n'},
        "b": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
        "n": {"DataType": "Number.int", "StringValue": "6"},
    }
    with sqs_server() as server:
        queue = Queue(server.client("sqs"), "orders.fifo")
        send = {
            "MessageBody": "{}",
            "MessageGroupId": "g-1",
            "MessageDeduplicationId": "d-1",
            "MessageAttributes": attributes,
            "MessageSystemAttributes": {
                "AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}
            },
        }
        [record] = _received(server, queue, lambda: _send(queue, **send))
    _check_times(record)
    assert list(record["attributes"]) == [
        "ApproximateReceiveCount",
        "SentTimestamp",
        "SequenceNumber",
        "MessageGroupId",
        "SenderId",
        "MessageDeduplicationId",
        "ApproximateFirstReceiveTimestamp",
        "AWSTraceHeader",
    ]
    assert {type(value) for value in record["attributes"].values()} == {str}
    shown = {name: record["attributes"][name] for name in ("MessageGroupId", "AWSTraceHeader")}
    assert shown == {"MessageGroupId": "g-1", "AWSTraceHeader": TRACE}
    assert record["attributes"]["MessageDeduplicationId"] == "d-1"
    empty: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    assert record["messageAttributes"] == {
        "Title": {"stringValue": 'The "Whistler"\n', **empty, "dataType": "String"},
        "b": {"binaryValue": _base64(bytes(range(256))), **empty, "dataType": "Binary"},
        "n": {"stringValue": "6", **empty, "dataType": "Number.int"},
    }
    assert record["md5OfMessageAttributes"] == _md5_of(attributes)
    assert list(record)[4:7] == ["messageAttributes", "md5OfMessageAttributes", "md5OfBody"]


def test_a_window_shows_null_where_there_are_no_attributes() -> None:
    with sqs_server() as server:
        queue = Queue(server.client("sqs"), "orders")

        def send() -> None:
            attributes = {"n": {"DataType": "Number", "StringValue": "6"}}
            _send(queue, MessageBody="bare")
            _send(queue, MessageBody="told", MessageAttributes=attributes)

        records = _received(server, queue, send, 2, maximum_batching_window_in_seconds=1)
    md5s = {record["body"]: record["md5OfMessageAttributes"] for record in records}
    told = {"n": {"DataType": "Number", "StringValue": "6"}}
    assert md5s == {"bare": None, "told": _md5_of(told)}


def _send(queue: Queue, **message: Any) -> None:
    queue.client.send_message(QueueUrl=queue.url, **message)


def _received(
    server: SqsServer, queue: Queue, send: Callable[[], None], count: int = 1, **options: Any
) -> list[dict[str, Any]]:
    """What a handler is given of so many messages."""
    records: list[dict[str, Any]] = []
    done = threading.Event()
    with clean_process():
        app = penstock.App(state=":memory:", endpoint=server.url, region="us-east-1")

        @app.on(f"sqs:{queue.name}", **options)
        def handler(event: dict[str, Any], _context: Any) -> None:
            assert list(event) == ["Records"]
            records.extend(event["Records"])
            if len(records) >= count:
                done.set()

        send()
        with app.background():
            assert done.wait(30), f"{len(records)} of {count} messages came"
    return records


def _check_times(record: dict[str, Any]) -> None:
    sent, received = (int(record["attributes"][name]) for name in TIMES)
    assert 1_600_000_000_000 < sent <= received


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _md5_of(attributes: dict[str, dict[str, Any]]) -> str:
    """As SQS documents it: lengths and values, by name."""
    text = b""
    for name in sorted(attributes):
        one = attributes[name]
        value = one.get("StringValue", "").encode() or one.get("BinaryValue", b"")
        for part in (name.encode(), one["DataType"].encode()):
            text += struct.pack(">I", len(part)) + part
        text += b"\x02" if "BinaryValue" in one else b"\x01"
        text += struct.pack(">I", len(value)) + value
    return hashlib.md5(text).hexdigest()
