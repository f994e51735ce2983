"""Drains the canned queue with a boto3 loop on eight threads that builds the event itself.

`python -m benches.load.drain_queue_boto3 URL MESSAGES`: what a user would write without penstock:
receive ten, call the handler, delete ten.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import boto3
import botocore.config

from benches.load.meter import emit
from benches.load.queue_meter import ARN, QueueMeter

REGION = "us-east-1"
THREADS = 8
_ORDER = (
    "ApproximateReceiveCount",
    "SentTimestamp",
    "SenderId",
    "ApproximateFirstReceiveTimestamp",
)


def build(message: dict[str, Any]) -> dict[str, Any]:
    """Give Lambda's form of one message without attributes of its sender's."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {name: message["Attributes"][name] for name in _ORDER},
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "awsRegion": REGION,
    }


def drain(client: Any, url: str, meter: QueueMeter) -> None:
    """Receive, handle and delete until enough has come."""
    while not meter.done.is_set():
        answer = client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = answer.get("Messages", [])
        if not messages:
            continue
        meter.take({"Records": [build(message) for message in messages]})
        entries = [
            {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
            for place, message in enumerate(messages)
        ]
        client.delete_message_batch(QueueUrl=url, Entries=entries)


def main() -> None:
    """Drain on all threads, then print the meter."""
    endpoint, meter = sys.argv[1], QueueMeter(int(sys.argv[2]))
    settings = botocore.config.Config(max_pool_connections=THREADS)
    client = boto3.client("sqs", endpoint_url=endpoint, region_name=REGION, config=settings)
    url = client.get_queue_url(QueueName="bench")["QueueUrl"]
    threads = [threading.Thread(target=drain, args=(client, url, meter)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    emit(meter.result())


if __name__ == "__main__":
    main()
