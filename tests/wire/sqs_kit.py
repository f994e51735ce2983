"""What the tests of SQS share: queues that come and go, messages sent and received."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

Message = dict[str, Any]

EVERYTHING: dict[str, Any] = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server of SQS under test: its name in the table, its port, a client for it."""

    name: str
    port: int
    client: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue of one test."""

    client: Any
    url: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def send(self, body: str, **more: object) -> Message:
        answer: Message = self.client.send_message(QueueUrl=self.url, MessageBody=body, **more)
        return answer

    def send_in_groups(self, *messages: tuple[str, str]) -> None:
        """Sends bodies to groups, in this order."""
        for group, body in messages:
            self.send(body, MessageGroupId=group, MessageDeduplicationId=uuid4().hex)

    def receive(self, limit: int = 10, wait_s: int = 0, **more: object) -> list[Message]:
        answer = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=limit,
            WaitTimeSeconds=wait_s,
            **(EVERYTHING | more),
        )
        found: list[Message] = answer.get("Messages", [])
        return found

    def drain(self, count: int, within_s: float = 60) -> list[Message]:
        """Receives until so many have come; they stay in flight."""
        found: list[Message] = []
        deadline = time.monotonic() + within_s
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} came"
            found += self.receive(wait_s=1)
        return found

    def delete(self, message: Message) -> None:
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def hide(self, message: Message, seconds: int) -> None:
        self.client.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
        )

    def attribute(self, name: str) -> str:
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return str(answer["Attributes"][name])

    def depths(self) -> tuple[int, int, int]:
        """How many messages are visible, in flight and delayed."""
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        visible, hidden, delayed = (
            int(answer["Attributes"][f"ApproximateNumberOfMessages{what}"])
            for what in ("", "NotVisible", "Delayed")
        )
        return visible, hidden, delayed


@contextmanager
def queue(client: Any, *, fifo: bool = False, **attributes: str) -> Iterator[Queue]:
    """A new queue, deleted at the end."""
    name = f"test-{uuid4().hex[:12]}" + (".fifo" if fifo else "")
    if fifo:
        attributes["FifoQueue"] = "true"
    url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    yield Queue(client=client, url=url)
    client.delete_queue(QueueUrl=url)


def redrive(dead: Queue, receives: int) -> str:
    """A redrive policy to a queue, as an attribute."""
    arn = dead.attribute("QueueArn")
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})


def bodies(messages: list[Message]) -> list[str]:
    return [message["Body"] for message in messages]
