"""What only our server of SQS does: a clock that tests move, limits at hand, faults on command."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from tests.services.wire import RECEIVES, SqsServer
from tests.wire.kit import refused
from tests.wire.sqs_kit import Queue, bodies, queue, redrive


@pytest.fixture
def own(queues: SqsServer) -> Iterator[Queue]:
    """A standard queue on that server."""
    client = queues.client()
    with queue(client) as made:
        yield made
        queues.clear()
    client.close()


def test_the_clock_ends_visibility_and_delay(queues: SqsServer, own: Queue) -> None:
    own.send("b", DelaySeconds=900)
    assert own.receive() == []
    queues.advance(900_000)
    (first,) = own.receive()
    queues.advance(29_000)
    assert own.receive() == []
    queues.advance(1_000)
    (second,) = own.receive()
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    apart = [int(m["Attributes"]["ApproximateFirstReceiveTimestamp"]) for m in (first, second)]
    assert apart[0] == apart[1]


def test_the_clock_wakes_a_receive_that_waits(queues: SqsServer, own: Queue) -> None:
    own.send("b")
    own.receive()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(own.receive, wait_s=20)
        time.sleep(0.2)
        queues.advance(30_000)
        assert bodies(waiting.result(timeout=10)) == ["b"]


def test_messages_are_kept_for_four_days(queues: SqsServer, own: Queue) -> None:
    own.send("b")
    queues.advance(345_599_000)
    assert own.depths() == (1, 0, 0)
    queues.advance(2_000)
    assert own.depths() == (0, 0, 0)


def test_a_message_is_sent_again_after_five_minutes(queues: SqsServer) -> None:
    client = queues.client()
    with queue(client, fifo=True) as made:
        for _ in range(2):
            made.send("b", MessageGroupId="g", MessageDeduplicationId="d")
        queues.advance(300_000)
        made.send("b", MessageGroupId="g", MessageDeduplicationId="d")
        assert bodies(made.receive()) == ["b", "b"]
    client.close()


def test_too_many_in_flight_are_refused(queues: SqsServer, own: Queue) -> None:
    queues.settings(in_flight_max=2)
    for number in range(3):
        own.send(str(number))
    assert len(own.receive(2)) == 2
    with refused("OverLimit"):
        own.receive()


def test_a_throttle_is_told_by_its_code(queues: SqsServer, own: Queue) -> None:
    queues.throttle(RECEIVES, times=1)
    with refused("RequestThrottled"):
        own.receive()
    assert own.receive() == []


def test_entries_of_a_batch_are_refused_on_command(queues: SqsServer, own: Queue) -> None:
    for number in range(4):
        own.send(str(number))
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
        for number, message in enumerate(own.drain(4))
    ]
    queues.refuse_entries("InternalError", every=2, times=1)
    answer = own.client.delete_message_batch(QueueUrl=own.url, Entries=entries)
    assert [one["Id"] for one in answer["Failed"]] == ["0", "2"]
    assert queues.depth(own.name) == {"visible": 0, "in_flight": 2, "delayed": 0}
    assert queues.outcomes("DeleteMessageBatch") == {"entries_refused": 1}


def test_a_lost_answer_leaves_its_messages_hidden(queues: SqsServer, own: Queue) -> None:
    own.send("b")
    queues.lose_answers(times=1)
    with pytest.raises((HTTPClientError, ConnectionClosedError)):
        own.receive()
    assert queues.depth(own.name) == {"visible": 0, "in_flight": 1, "delayed": 0}


def test_a_duplicate_comes_again_at_once(queues: SqsServer, own: Queue) -> None:
    own.send("b")
    queues.duplicate(times=1)
    first, again = own.receive(), own.receive()
    assert bodies(first) == bodies(again) == ["b"]
    own.delete(again[0])
    assert own.depths() == (0, 0, 0)


def test_receipts_are_forgotten_on_command(queues: SqsServer, own: Queue) -> None:
    own.send("b")
    (message,) = own.receive()
    queues.expire_receipts(own.name)
    with refused("ReceiptHandleIsInvalid"):
        own.delete(message)


def test_a_queue_deleted_while_it_is_read_is_gone_at_once(queues: SqsServer) -> None:
    client = queues.client()
    url = client.create_queue(QueueName="short")["QueueUrl"]
    made = Queue(client=client, url=url)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(made.receive, wait_s=20)
        time.sleep(0.2)
        client.delete_queue(QueueUrl=url)
        with pytest.raises(ClientError, match="does not exist"):
            waiting.result(timeout=10)
    client.close()


def test_a_redrive_to_a_queue_that_is_gone_is_none(queues: SqsServer, own: Queue) -> None:
    client = queues.client()
    with queue(client) as dead:
        policy = redrive(dead, 1)
    with queue(client, RedrivePolicy=policy, VisibilityTimeout="0") as source:
        source.send("b")
        for _ in range(3):
            assert bodies(source.receive()) == ["b"]
    client.close()


def test_a_client_that_leaves_takes_nothing(queues: SqsServer, own: Queue) -> None:
    connection = socket.create_connection(("127.0.0.1", queues.port))
    body = f'{{"QueueUrl":"{own.url}","WaitTimeSeconds":20}}'
    credential = "Credential=k/20260101/us-east-1/sqs/aws4_request"
    head = (
        "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
        f"Authorization: AWS4-HMAC-SHA256 {credential}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall((head + body).encode())
    time.sleep(0.2)
    connection.close()
    time.sleep(0.2)
    own.send("b")
    assert queues.depth(own.name)["visible"] == 1
