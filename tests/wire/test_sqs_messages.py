"""Messages of standard queues: sent, received, hidden, shown again, deleted."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.wire.kit import eventually, refused
from tests.wire.sqs_kit import Queue, Server, bodies, queue, redrive

ATTRIBUTES = {
    "Author": {"DataType": "String", "StringValue": "John Grisham"},
    "Title": {"DataType": "String", "StringValue": "The Whistler"},
    "WeeksOn": {"DataType": "Number", "StringValue": "6"},
}
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793"


@pytest.mark.parametrize(
    "body", ["plain", '{"a":"b\\\\c"}', "é 😀 \t\n\r", "x" * 200_000, '"\\/"', "\x7f"]
)
def test_a_body_comes_as_it_was_sent(standard: Queue, body: str) -> None:
    sent = standard.send(body)
    (message,) = standard.receive(wait_s=1)
    assert message["Body"] == body
    digest = hashlib.md5(body.encode()).hexdigest()
    assert sent["MD5OfMessageBody"] == message["MD5OfBody"] == digest
    assert sent["MessageId"] == message["MessageId"]


def test_attributes_come_with_their_md5(standard: Queue) -> None:
    sent = standard.send("b", MessageAttributes=ATTRIBUTES)
    (message,) = standard.receive(wait_s=1)
    assert message["MessageAttributes"] == ATTRIBUTES
    md5 = "d25a6aea97eb8f585bfa92d314504a92"
    assert sent["MD5OfMessageAttributes"] == message["MD5OfMessageAttributes"] == md5


def test_binary_and_custom_types_come_through(standard: Queue) -> None:
    attributes = {
        "b": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
        "n": {"DataType": "Number.float", "StringValue": "1.5"},
    }
    standard.send("b", MessageAttributes=attributes)
    (message,) = standard.receive(wait_s=1)
    assert message["MessageAttributes"] == attributes


def test_attributes_come_only_when_asked_for(standard: Queue) -> None:
    standard.send("b", MessageAttributes=ATTRIBUTES)
    (message,) = standard.receive(wait_s=1, AttributeNames=[], MessageAttributeNames=["Author"])
    assert message["MessageAttributes"] == {"Author": ATTRIBUTES["Author"]}
    assert "Attributes" not in message


def test_system_attributes_are_texts(standard: Queue) -> None:
    before = int(time.time() * 1000)
    standard.send("b")
    (message,) = standard.receive(wait_s=1)
    attributes = message["Attributes"]
    assert attributes["ApproximateReceiveCount"] == "1"
    for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp"):
        assert before - 1000 <= int(attributes[name]) <= before + 60_000
    assert attributes["SenderId"]


def test_a_trace_header_comes_through(standard: Queue) -> None:
    header = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    standard.send("b", MessageSystemAttributes=header)
    (message,) = standard.receive(wait_s=1)
    assert message["Attributes"]["AWSTraceHeader"] == TRACE


def test_a_batch_is_sent_entry_by_entry(standard: Queue) -> None:
    entries = [{"Id": f"e{number}", "MessageBody": str(number)} for number in range(10)]
    answer = standard.client.send_message_batch(QueueUrl=standard.url, Entries=entries)
    assert {one["Id"] for one in answer["Successful"]} == {f"e{number}" for number in range(10)}
    assert sorted(bodies(standard.drain(10))) == sorted(str(number) for number in range(10))


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        ([], "EmptyBatchRequest"),
        ([f"e{number}" for number in range(11)], "TooManyEntriesInBatchRequest"),
        (["a", "a"], "BatchEntryIdsNotDistinct"),
        (["a b"], "InvalidBatchEntryId"),
    ],
)
def test_a_batch_that_is_none_is_refused(standard: Queue, ids: list[str], code: str) -> None:
    entries = [{"Id": one, "MessageBody": "b"} for one in ids]
    with refused(f"AWS.SimpleQueueService.{code}", code):
        standard.client.send_message_batch(QueueUrl=standard.url, Entries=entries)


def test_a_body_with_a_control_character_is_refused(standard: Queue) -> None:
    with refused("InvalidMessageContents"):
        standard.send("a\x01b")


def test_an_empty_body_is_refused(standard: Queue) -> None:
    with refused("MissingParameter", "InvalidParameterValue"):
        standard.send("")


def test_a_body_larger_than_the_queue_takes_is_refused(standard: Queue) -> None:
    with refused("InvalidParameterValue"):
        standard.send("x" * (1 << 20) + "x")


@pytest.mark.parametrize("limit", [0, 11])
def test_a_receive_takes_one_to_ten(standard: Queue, limit: int) -> None:
    with refused("InvalidParameterValue", "ReadCountOutOfRange"):
        standard.receive(limit)


def test_a_wait_longer_than_twenty_seconds_is_refused(standard: Queue) -> None:
    with refused("InvalidParameterValue"):
        standard.receive(wait_s=21)


def test_a_message_is_hidden_and_comes_back(standard: Queue) -> None:
    standard.send("b")
    (first,) = standard.receive(wait_s=1)
    assert standard.receive() == []
    assert standard.depths() == (0, 1, 0)
    standard.hide(first, 1)
    (second,) = standard.receive(wait_s=20)
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    standard.delete(second)
    assert standard.depths() == (0, 0, 0)


def test_a_queue_says_how_long_it_hides(sqs: Server) -> None:
    with queue(sqs.client, VisibilityTimeout="1") as made:
        made.send("b")
        (_,) = made.receive(wait_s=1)
        assert bodies(made.receive(wait_s=20)) == ["b"]


def test_a_receive_says_how_long_it_hides(standard: Queue) -> None:
    standard.send("b")
    (_,) = standard.receive(wait_s=1, VisibilityTimeout=1)
    assert bodies(standard.receive(wait_s=20)) == ["b"]


def test_hiding_for_no_time_gives_back(standard: Queue) -> None:
    standard.send("b")
    (message,) = standard.receive(wait_s=1)
    standard.hide(message, 0)
    assert bodies(standard.receive(wait_s=1)) == ["b"]


def test_hiding_again_counts_from_now(sqs: Server) -> None:
    with queue(sqs.client, VisibilityTimeout="1") as made:
        made.send("b")
        (message,) = made.receive(wait_s=1)
        hidden = time.monotonic()
        made.hide(message, 3)
        time.sleep(1.5)
        assert made.receive() == [] or time.monotonic() - hidden > 3


def test_a_batch_hides_and_deletes_entry_by_entry(standard: Queue) -> None:
    for number in range(4):
        standard.send(str(number))
    messages = standard.drain(4)
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for number, message in enumerate(messages[:2])
    ]
    answer = standard.client.change_message_visibility_batch(QueueUrl=standard.url, Entries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["0", "1"]
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
        for number, message in enumerate(messages[2:])
    ]
    entries.append({"Id": "bad", "ReceiptHandle": "nonsense"})
    answer = standard.client.delete_message_batch(QueueUrl=standard.url, Entries=entries)
    assert sorted(one["Id"] for one in answer["Successful"]) == ["0", "1"]
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["SenderFault"]) == ("bad", True)
    assert failed["Code"] in {"ReceiptHandleIsInvalid", "InvalidParameterValue"}
    assert len(standard.drain(2)) == 2
    assert standard.depths() == (0, 2, 0)


def test_deleting_twice_does_no_harm(standard: Queue) -> None:
    standard.send("b")
    (message,) = standard.receive(wait_s=1)
    standard.delete(message)
    standard.delete(message)


def test_a_receipt_that_is_none_is_refused(standard: Queue) -> None:
    with refused("ReceiptHandleIsInvalid", "InvalidParameterValue"):
        standard.client.delete_message(QueueUrl=standard.url, ReceiptHandle="nonsense")


def test_hiding_longer_than_twelve_hours_is_refused(standard: Queue) -> None:
    standard.send("b")
    (message,) = standard.receive(wait_s=1)
    with refused("InvalidParameterValue"):
        standard.hide(message, 43_201)


def test_a_receive_waits_for_a_message(standard: Queue) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(standard.receive, wait_s=20)
        time.sleep(0.3)
        start = time.monotonic()
        standard.send("b")
        assert bodies(waiting.result(timeout=60)) == ["b"]
    assert time.monotonic() - start < 15, "it waited until its time was up"


def test_a_receive_waits_no_longer_than_it_says(standard: Queue) -> None:
    start = time.monotonic()
    assert standard.receive(wait_s=1) == []
    assert 0.9 <= time.monotonic() - start < 15


def test_a_delayed_message_comes_late(standard: Queue) -> None:
    sent = time.monotonic()
    standard.send("b", DelaySeconds=1)
    early, depths = standard.receive(), standard.depths()
    assert (early, depths) == ([], (0, 0, 1)) or time.monotonic() - sent >= 1
    assert early or bodies(standard.receive(wait_s=20)) == ["b"]


def test_a_queue_delays_all_messages(sqs: Server) -> None:
    with queue(sqs.client, DelaySeconds="1") as made:
        sent = time.monotonic()
        made.send("b")
        early = made.receive()
        assert early == [] or time.monotonic() - sent >= 1
        eventually(lambda: bool(early) or bodies(made.receive(wait_s=1)) == ["b"])


def test_a_message_received_too_often_moves(sqs: Server, standard: Queue) -> None:
    with queue(sqs.client, VisibilityTimeout="0", RedrivePolicy=redrive(standard, 2)) as source:
        sent = source.send("b", MessageAttributes=ATTRIBUTES)
        for count in ("1", "2"):
            (message,) = source.receive(wait_s=1)
            assert message["Attributes"]["ApproximateReceiveCount"] == count
        assert source.receive(wait_s=1) == []
        (moved,) = standard.receive(wait_s=20)
        assert (moved["Body"], moved["MessageId"]) == ("b", sent["MessageId"])
        assert moved["MessageAttributes"] == ATTRIBUTES
        assert source.depths() == (0, 0, 0)


def test_a_moved_message_keeps_its_count_and_names_its_queue(sqs: Server, standard: Queue) -> None:
    with queue(sqs.client, VisibilityTimeout="0", RedrivePolicy=redrive(standard, 1)) as source:
        source.send("b")
        source.receive(wait_s=1)
        assert source.receive(wait_s=1) == []
        (moved,) = standard.receive(wait_s=20)
        attributes = moved["Attributes"]
        assert attributes["ApproximateReceiveCount"] == "2"
        assert attributes["DeadLetterQueueSourceArn"] == source.attribute("QueueArn")
