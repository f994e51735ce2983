"""Tests embedded queues from Python: the commands, the documents, the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock import _bridge
from penstock.errors import ConfigurationError, SourceError
from penstock.queues import Message, Queues
from penstock.settings import Settings


@pytest.fixture
def queues() -> Any:
    document = Settings(state=None).runtime_document({}, "warn")
    runtime = _bridge.Runtime(json.dumps(document).encode())
    yield Queues(runtime.queues)
    runtime.close(1.0)


def test_a_queue_has_the_options_it_was_made_with(queues: Queues) -> None:
    queues.create("letters.fifo")
    made = queues.create(
        "orders.fifo",
        {
            "visibility_timeout": "2m",
            "delay": 3,
            "retention": "1d",
            "content_based_deduplication": True,
            "dead_letter_queue": "letters.fifo",
            "max_receive_count": 4,
        },
    )
    expected = {
        "arn": "arn:aws:penstock:::queue/orders.fifo",
        "fifo": True,
        "visibility_timeout_s": 120,
        "delay_s": 3,
        "retention_s": 86_400,
        "content_based_deduplication": True,
        "redrive": {"dead_letter_queue": "letters.fifo", "max_receive_count": 4},
        "visible": 0,
    }
    assert made == made | expected
    assert queues.describe("orders.fifo") == made
    assert [each["name"] for each in queues.names()] == ["letters.fifo", "orders.fifo"]
    queues.delete("orders.fifo")
    with pytest.raises(SourceError) as caught:
        queues.describe("orders.fifo")
    assert caught.value.code == "PS203"


def test_messages_are_spelled_as_boto3_spells_them(queues: Queues) -> None:
    queues.create("orders")
    messages: list[Message] = [
        "plain",
        {
            "Id": "0",
            "MessageBody": "whole",
            "MessageGroupId": "tenant",
            "MessageAttributes": {
                "Author": {"DataType": "String", "StringValue": "John Grisham"},
                "Title": {"DataType": "String", "StringValue": "The Whistler"},
                "WeeksOn": {"DataType": "Number", "StringValue": "6"},
            },
            "MessageSystemAttributes": {
                "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}
            },
        },
        {
            "MessageBody": "b",
            "MessageAttributes": {"b": {"DataType": "Binary", "BinaryValue": b"1"}},
        },
        {"MessageBody": "late", "DelaySeconds": 60},
    ]
    sent = queues.send("orders", messages)
    assert sent[1]["md5_of_attributes"] == "d25a6aea97eb8f585bfa92d314504a92"
    assert sent[0]["md5_of_attributes"] is None
    seen = queues.browse("orders")
    assert [(each["body"], each["visible"]) for each in seen] == [
        ("plain", True), ("whole", True), ("b", True), ("late", False),
    ]  # fmt: skip
    assert seen[1]["group"] == "tenant"
    assert [each["message_id"] for each in seen] == [each["message_id"] for each in sent]
    assert queues.browse("orders", after=seen[1]["number"], limit=1) == seen[2:3]
    assert queues.describe("orders")["delayed"] == 1


def test_many_messages_are_sent_in_parts(queues: Queues) -> None:
    queues.create("orders")
    assert len(queues.send("orders", (str(number) for number in range(1201)))) == 1201
    assert queues.describe("orders")["visible"] == 1201


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"bytes", "is a text"),
        ({"Body": "x"}, "MessageBody"),
        ({"MessageBody": "x", "Colour": 1}, "Colour"),
        ({"MessageBody": "a\x00b"}, "does not carry"),
        ({"MessageBody": ""}, "empty"),
        ({"MessageBody": "x" * (1024 * 1024 + 1)}, "1048576 are allowed"),
        ({"MessageBody": "x", "MessageDeduplicationId": "1"}, "no FIFO queue"),
        ({"MessageBody": "x", "DelaySeconds": 901}, "901"),
        ({"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "Date"}}}, "StringValue"),
        ({"MessageBody": "x", "MessageSystemAttributes": {"Other": 1}}, "AWSTraceHeader"),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused(
    queues: Queues, message: Any, reason: str
) -> None:
    queues.create("orders")
    with pytest.raises(ConfigurationError, match=reason):
        queues.send("orders", [message])
    assert queues.browse("orders") == []


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.b", {}, "not a queue name"),
        ("a", {"colour": 1}, "no option colour"),
        ("a", {"visibility_timeout": "13h"}, "43200"),
        ("a", {"visibility_timeout": -1}, "negative"),
        ("a", {"retention": 59}, "60 to"),
        ("a", {"max_receive_count": 3}, "max_receive_count"),
        ("a", {"dead_letter_queue": "a", "max_receive_count": 3}, "its own dead letters"),
        ("a", {"content_based_deduplication": True}, "no FIFO queue"),
    ],
)
def test_a_queue_that_cannot_be_is_refused(
    queues: Queues, name: str, options: Any, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        queues.create(name, options)
    assert queues.names() == []


def run(at: Path, *arguments: str, code: int = 0, stdin: str = "") -> str:
    """Run `penstock queue` in a directory and give what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "queue", *arguments],
        cwd=at,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_queues_are_made_filled_and_followed_on_the_command_line(tmp_path: Path) -> None:
    run(tmp_path, "create", "letters.fifo")
    run(tmp_path, "create", "orders.fifo", "--visibility-timeout", "2m", "--dead-letter-queue",
        "letters.fifo", "--max-receive-count", "3")  # fmt: skip
    assert "sent 2 messages to orders.fifo" in run(
        tmp_path, "send", "orders.fifo", '{"id": 7}', '{"id": 8}', "--group-field", "id"
    )
    run(tmp_path, "send", "orders.fifo", "--group", "g", stdin="one\ntwo\n")
    told = run(tmp_path, "tail", "orders.fifo", "--from", "TRIM_HORIZON", "--no-follow")
    assert told.splitlines()[:4] == ['{"id": 7}', '{"id": 8}', "one", "two"]
    listed = json.loads(run(tmp_path, "list", "--json").splitlines()[0])["queues"]
    assert [(each["name"], each["visible"]) for each in listed] == [
        ("letters.fifo", 0), ("orders.fifo", 4),
    ]  # fmt: skip
    assert "to letters.fifo after 3 receives" in run(tmp_path, "describe", "orders.fifo")
    assert "has no field 'id'" in run(
        tmp_path, "send", "orders.fifo", "x", "--group-field", "id", code=2
    )
    assert "has no group" in run(tmp_path, "send", "orders.fifo", "x", code=2)
    run(tmp_path, "delete", "orders.fifo")
    assert "there is no queue orders.fifo" in run(tmp_path, "describe", "orders.fifo", code=1)
