"""What the stories of queues share: messages sent with boto3, what became of them, what is left.

The judge knows of queues: nothing is lost; a message may come again, but in a FIFO queue a group's
messages are handled in the order in which they were sent; what failed too often is in the
dead-letter queue, after as many receives as the policy says.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.python.integration.observer import Line
from tests.services.aws import Endpoint
from tests.services.ministack import ministack
from tests.services.sqs import elasticmq
from tests.services.wire import sqs_server

OURS, ELASTICMQ, MINISTACK = "penstock", "elasticmq", "ministack"


@contextmanager
def server(name: str) -> Iterator[Endpoint]:
    """Run one of the servers."""
    if name == OURS:
        with sqs_server() as made:
            yield made.endpoint
    else:
        with (elasticmq if name == ELASTICMQ else ministack)() as endpoint:
            yield endpoint


@dataclass(slots=True)
class Queue:
    """A queue with what was sent to it."""

    client: Any
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    url: str = ""
    sent: dict[int, str] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.fifo:
            self.attributes["FifoQueue"] = "true"
        made = self.client.create_queue(QueueName=self.name, Attributes=self.attributes)
        self.url = made["QueueUrl"]

    @property
    def fifo(self) -> bool:
        return self.name.endswith(".fifo")

    def send(self, count: int, *, groups: int = 0, poison: int | None = None) -> list[int]:
        """Send so many more, over so many groups; the one at place `poison` cannot be handled."""
        new: list[int] = []
        for start in range(0, count, 10):
            entries = []
            for place in range(start, min(start + 10, count)):
                number = len(self.sent)
                group = f"group-{number * 7919 % groups}" if groups else "-"
                n = self._next.get(group, 0)
                self._next[group] = n + 1
                body: dict[str, Any] = {"id": number, "key": group, "n": n}
                if place == poison:
                    body["poison"] = True
                entry = {"Id": str(place), "MessageBody": json.dumps(body)}
                if groups:
                    entry |= {"MessageGroupId": group, "MessageDeduplicationId": str(number)}
                entries.append(entry)
                self.sent[number] = group
                new.append(number)
            answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
            assert not answer.get("Failed"), answer
        return new

    def depths(self) -> tuple[int, int]:
        """How many messages are visible, and how many in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        visible, hidden = (int(answer["Attributes"][name]) for name in names)
        return visible, hidden

    def arn(self) -> str:
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return str(answer["Attributes"]["QueueArn"])

    def until_empty(self, within_s: float = 60.0) -> None:
        """Wait until nothing is left, in flight or not."""
        deadline = time.monotonic() + within_s
        while (left := self.depths()) != (0, 0):
            assert time.monotonic() < deadline, f"{left} are left in {self.name}"
            time.sleep(0.05)

    def take_all(self) -> list[dict[str, Any]]:
        """Receive everything that is visible now."""
        found: list[dict[str, Any]] = []
        while messages := self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=1
        ).get("Messages"):
            found += messages
        return found


def redrive(dead: Queue, receives: int) -> str:
    """A redrive policy to a queue, as an attribute."""
    return json.dumps({"deadLetterTargetArn": dead.arn(), "maxReceiveCount": receives})


def handled(lines: list[Line]) -> set[int]:
    """The messages that were handled."""
    return {line.id for line in lines if line.mark == "E"}


def check_order(lines: list[Line]) -> None:
    """Insist that every group's messages were first handled in the order they were sent in."""
    first: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        if line.mark == "E" and line.n not in first[line.key]:
            first[line.key].append(line.n)
    wrong = [group for group, numbers in first.items() if numbers != sorted(numbers)]
    assert not wrong, f"{len(wrong)} groups, the first: {wrong[0]}: {first[wrong[0]]}"
