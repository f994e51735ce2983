"""Asks SQS what a queue is.

Rules: a queue that is named by its ARN or URL is reached without asking for its URL, which takes a
permission that reading it does not need.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from penstock.sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What a queue says of itself."""

    arn: str
    visibility_s: int
    fifo: bool
    messages: int
    dead_letter_arn: str | None
    max_receive_count: int | None


def url(client: Any, source: Source) -> str:
    """Give the URL by which requests name a queue."""
    if source.url is not None:
        return source.url
    if source.arn is None:
        return str(client.get_queue_url(QueueName=source.name)["QueueUrl"])
    account = source.arn.split(":")[4]
    return f"{str(client.meta.endpoint_url).rstrip('/')}/{account}/{source.name}"


def describe(client: Any, queue_url: str) -> Queue:
    """Ask a queue for its attributes."""
    answer = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    attributes = answer["Attributes"]
    policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    count = policy.get("maxReceiveCount")
    return Queue(
        arn=str(attributes["QueueArn"]),
        visibility_s=int(attributes["VisibilityTimeout"]),
        fifo=attributes.get("FifoQueue") == "true",
        messages=int(attributes.get("ApproximateNumberOfMessages", 0)),
        dead_letter_arn=policy.get("deadLetterTargetArn"),
        max_receive_count=None if count is None else int(count),
    )
