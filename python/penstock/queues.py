"""Speaks to embedded queues: messages to documents, documents to answers.

Rules: whoever owns the state directory does the work; a request is cut at 500 messages or 5 MiB; a
message is a text, or what boto3's `send_message_batch` takes for one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypedDict

from penstock import durations
from penstock.durations import Duration
from penstock.errors import ConfigurationError
from penstock.plan_queues import QueueFacts

Message = str | dict[str, Any]

_SEND_MESSAGES: Final = 500
_SEND_BYTES: Final = 5 * 1024 * 1024
_BROWSE_MESSAGES: Final = 1000
# boto3's members, and where they go.
_MEMBERS: Final = {
    "MessageBody": "body",
    "DelaySeconds": "delay_s",
    "MessageGroupId": "group",
    "MessageDeduplicationId": "deduplication_id",
    "MessageAttributes": "attributes",
    "MessageSystemAttributes": "trace_header",
    "Id": None,
}


class QueueOptions(TypedDict, total=False):
    """What a queue can be made with. The defaults are those of SQS."""

    visibility_timeout: Duration
    delay: Duration
    retention: Duration
    content_based_deduplication: bool
    dead_letter_queue: str
    max_receive_count: int


class Queues:
    """The commands of embedded queues, wherever they are carried out."""

    def __init__(self, ask: Callable[[bytes], bytes]) -> None:
        self._ask = ask

    def create(self, name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Make a queue; a name that ends with `.fifo` makes a FIFO queue."""
        return self._do({"op": "create", "name": name} | options_document(options or {}))

    def names(self) -> list[dict[str, Any]]:
        """List queues."""
        listed: list[dict[str, Any]] = self._do({"op": "list"})["queues"]
        return listed

    def describe(self, name: str) -> dict[str, Any]:
        """Describe a queue, and how much is in it."""
        return self._do({"op": "describe", "name": name})

    def delete(self, name: str) -> None:
        """Delete a queue and all its messages."""
        self._do({"op": "delete", "name": name})

    def send(self, name: str, messages: Iterable[Message]) -> list[dict[str, Any]]:
        """Send messages; returns what each became once all are on disk."""
        sent: list[dict[str, Any]] = []
        for part in _parts(messages):
            sent += self._do({"op": "send", "name": name, "messages": part})["messages"]
        return sent

    def browse(
        self, name: str, *, after: int = 0, limit: int = _BROWSE_MESSAGES
    ) -> list[dict[str, Any]]:
        """Look at messages without receiving them, the oldest first, behind a number."""
        document = {"op": "browse", "name": name, "after": after, "limit": limit}
        seen: list[dict[str, Any]] = self._do(document)["messages"]
        return seen

    def _do(self, document: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._ask(json.dumps(document).encode()))
        return answer


def embedded_facts(queues: Queues, name: str) -> QueueFacts:
    """Give what an embedded queue says of itself, as plans want it."""
    described = queues.describe(name)
    redrive = described["redrive"] or {}
    return QueueFacts(
        visibility_timeout_s=described["visibility_timeout_s"],
        dead_letter_queue=redrive.get("dead_letter_queue"),
        max_receive_count=redrive.get("max_receive_count"),
    )


def in_order(queues: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Put queues for dead letters before those whose letters they take."""
    targets = {options.get("dead_letter_queue") for options in queues.values()}
    return dict(sorted(queues.items(), key=lambda each: each[0] not in targets))


def options_document(options: Mapping[str, Any], *, where: str | None = None) -> dict[str, Any]:
    """Give a queue's options as the document has them."""
    document: dict[str, Any] = {}
    for name, value in options.items():
        if name not in QueueOptions.__annotations__:
            raise ConfigurationError(
                f"a queue has no option {name}",
                code="PS101",
                path=name,
                where=where,
                hint="options: " + ", ".join(QueueOptions.__annotations__),
            )
        if name in {"visibility_timeout", "delay", "retention"}:
            seconds = durations.whole_seconds(value, option=name, where=where)
            if seconds < 0:
                raise ConfigurationError(
                    f"{name} {value!r} is negative", code="PS102", path=name, where=where
                )
            document[f"{name}_s"] = seconds
        else:
            document[name] = value
    return document


def encode_message(message: Message) -> dict[str, Any]:
    """Give a message as the document has it: a text, or boto3's dict of one."""
    if isinstance(message, str):
        return {"body": message}
    if not isinstance(message, dict) or not isinstance(message.get("MessageBody"), str):
        raise _unusable("is a text, or boto3's dict with a MessageBody", type(message).__name__)
    unknown = sorted(set(message) - set(_MEMBERS))
    if unknown:
        raise _unusable("has the members " + ", ".join(_MEMBERS), unknown)
    encoded = {
        member: message[given]
        for given, member in _MEMBERS.items()
        if member is not None and given in message
    }
    if "attributes" in encoded:
        encoded["attributes"] = _attributes(encoded["attributes"])
    if "trace_header" in encoded:
        encoded["trace_header"] = _trace_header(encoded["trace_header"])
    return encoded


def _attributes(given: object) -> dict[str, Any]:
    if not isinstance(given, dict) or not all(isinstance(v, dict) for v in given.values()):
        raise _unusable("has its attributes as boto3's dict of dicts", type(given).__name__)
    return {name: {k: _value(v) for k, v in value.items()} for name, value in given.items()}


def _value(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    return value


def _trace_header(given: object) -> object:
    if isinstance(given, dict) and set(given) == {"AWSTraceHeader"}:
        return given["AWSTraceHeader"].get("StringValue")
    raise _unusable("has AWSTraceHeader as its only system attribute", given)


def _parts(messages: Iterable[Message]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for message in messages:
        encoded = encode_message(message)
        weight = len(encoded["body"])
        if part and (len(part) == _SEND_MESSAGES or size + weight > _SEND_BYTES):
            yield part
            part, size = [], 0
        part.append(encoded)
        size += weight
    if part:
        yield part


def _unusable(wanted: str, found: object) -> ConfigurationError:
    return ConfigurationError(
        f"a message {wanted}, not {found!r}",
        code="PS102",
        path="messages",
        hint='for example "…", or {"MessageBody": "…", "MessageGroupId": "customer-1"}',
    )
