"""FIFO queues: order within groups, groups that wait, deduplication, attempts."""

from uuid import uuid4

from tests.wire.kit import refused
from tests.wire.sqs_kit import Queue, Server, bodies, queue


def test_a_group_keeps_its_order(fifo: Queue) -> None:
    fifo.send_in_groups(*(("g", str(number)) for number in range(10)))
    assert bodies(fifo.drain(10)) == [str(number) for number in range(10)]


def test_attributes_of_a_fifo_queue_come_along(fifo: Queue) -> None:
    sent = fifo.send("b", MessageGroupId="g", MessageDeduplicationId="d")
    (message,) = fifo.receive(wait_s=1)
    attributes = message["Attributes"]
    assert (attributes["MessageGroupId"], attributes["MessageDeduplicationId"]) == ("g", "d")
    assert attributes["SequenceNumber"] == sent["SequenceNumber"]


def test_sequence_numbers_rise(fifo: Queue) -> None:
    numbers = [
        int(fifo.send("b", MessageGroupId="g", MessageDeduplicationId=str(n))["SequenceNumber"])
        for n in range(5)
    ]
    assert numbers == sorted(set(numbers))


def test_a_group_waits_for_what_is_in_flight(fifo: Queue) -> None:
    fifo.send_in_groups(("a", "1"), ("a", "2"), ("b", "3"))
    (first,) = fifo.receive(1, wait_s=1)
    assert first["Body"] == "1"
    assert bodies(fifo.receive()) == ["3"]
    assert fifo.receive() == []
    fifo.delete(first)
    assert bodies(fifo.receive(wait_s=1)) == ["2"]


def test_what_is_given_back_comes_first(fifo: Queue) -> None:
    fifo.send_in_groups(("a", "1"), ("a", "2"), ("a", "3"))
    messages = fifo.receive(2, wait_s=1)
    assert bodies(messages) == ["1", "2"]
    for message in messages:
        fifo.hide(message, 0)
    assert bodies(fifo.receive(wait_s=1)) == ["1", "2", "3"]


def test_one_receive_may_bring_several_groups(fifo: Queue) -> None:
    fifo.send_in_groups(*((f"g{number % 3}", str(number)) for number in range(9)))
    messages = fifo.drain(9)
    for group in ("g0", "g1", "g2"):
        mine = [m["Body"] for m in messages if m["Attributes"]["MessageGroupId"] == group]
        assert mine == sorted(mine)
        assert len(mine) == 3


def test_a_message_is_not_sent_twice(fifo: Queue) -> None:
    first = fifo.send("b", MessageGroupId="g", MessageDeduplicationId="d")
    again = fifo.send("other", MessageGroupId="g", MessageDeduplicationId="d")
    assert again["MessageId"] == first["MessageId"]
    assert bodies(fifo.receive(wait_s=1)) == ["b"]


def test_content_may_be_what_tells_messages_apart(sqs: Server) -> None:
    with queue(sqs.client, fifo=True, ContentBasedDeduplication="true") as made:
        made.send("b", MessageGroupId="g")
        made.send("b", MessageGroupId="g")
        made.send("c", MessageGroupId="g")
        assert bodies(made.receive(wait_s=1)) == ["b", "c"]


def test_a_message_needs_a_group(fifo: Queue) -> None:
    with refused("MissingParameter", "InvalidParameterValue"):
        fifo.send("b", MessageDeduplicationId="d")


def test_a_message_needs_something_to_tell_it_apart(fifo: Queue) -> None:
    with refused("InvalidParameterValue"):
        fifo.send("b", MessageGroupId="g")


def test_an_attempt_is_answered_alike(fifo: Queue) -> None:
    fifo.send_in_groups(("a", "1"), ("a", "2"), ("b", "3"))
    attempt = uuid4().hex
    first = fifo.receive(2, wait_s=1, ReceiveRequestAttemptId=attempt)
    again = fifo.receive(2, wait_s=1, ReceiveRequestAttemptId=attempt)
    assert [m["MessageId"] for m in first] == [m["MessageId"] for m in again]
    assert bodies(first) == bodies(again) == ["1", "2"]


def test_a_stale_receipt_is_refused(sqs: Server) -> None:
    with queue(sqs.client, fifo=True, VisibilityTimeout="1") as made:
        made.send_in_groups(("a", "1"))
        (first,) = made.receive(wait_s=1)
        (second,) = made.receive(wait_s=20)
        with refused("InvalidParameterValue", "ReceiptHandleIsInvalid"):
            made.delete(first)
        made.delete(second)
