"""Queues of SQS: making, naming, describing, changing, purging and deleting them."""

from uuid import uuid4

import pytest

from tests.wire.kit import refused
from tests.wire.sqs_kit import Queue, Server, queue, redrive

MISSING = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


def test_a_queue_is_found_by_its_name(standard: Queue) -> None:
    assert standard.client.get_queue_url(QueueName=standard.name)["QueueUrl"] == standard.url
    assert standard.attribute("QueueArn").endswith(f":000000000000:{standard.name}")


def test_a_queue_has_defaults(standard: Queue) -> None:
    assert standard.attribute("VisibilityTimeout") == "30"
    assert standard.attribute("DelaySeconds") == "0"
    assert standard.attribute("ReceiveMessageWaitTimeSeconds") == "0"


def test_attributes_are_changed(standard: Queue) -> None:
    standard.client.set_queue_attributes(
        QueueUrl=standard.url, Attributes={"VisibilityTimeout": "7"}
    )
    assert standard.attribute("VisibilityTimeout") == "7"


def test_making_the_same_queue_again_gives_the_same(sqs: Server) -> None:
    with queue(sqs.client, VisibilityTimeout="9") as made:
        again = sqs.client.create_queue(QueueName=made.name, Attributes={"VisibilityTimeout": "9"})
        assert again["QueueUrl"] == made.url


def test_making_another_queue_of_the_same_name_is_refused(sqs: Server) -> None:
    with queue(sqs.client, VisibilityTimeout="9") as made, refused("QueueAlreadyExists"):
        sqs.client.create_queue(QueueName=made.name, Attributes={"VisibilityTimeout": "10"})


def test_a_fifo_queue_says_so(fifo: Queue) -> None:
    assert fifo.attribute("FifoQueue") == "true"


@pytest.mark.parametrize("name", ["a b", "x" * 81, ""])
def test_a_name_that_none_can_have_is_refused(sqs: Server, name: str) -> None:
    with refused("InvalidParameterValue", "MissingParameter"):
        sqs.client.create_queue(QueueName=name)


def test_a_fifo_queue_needs_its_suffix(sqs: Server) -> None:
    with refused("InvalidParameterValue"):
        sqs.client.create_queue(QueueName=uuid4().hex, Attributes={"FifoQueue": "true"})


def test_an_attribute_nobody_knows_is_refused(sqs: Server) -> None:
    with refused("InvalidAttributeName"):
        sqs.client.create_queue(QueueName=uuid4().hex, Attributes={"Depth": "1"})


def test_queues_are_listed_by_prefix(sqs: Server) -> None:
    with queue(sqs.client) as one, queue(sqs.client) as other:
        listed = sqs.client.list_queues(QueueNamePrefix=one.name)["QueueUrls"]
        assert listed == [one.url]
        assert {one.url, other.url} <= set(sqs.client.list_queues()["QueueUrls"])


def test_a_list_comes_in_pages(sqs: Server) -> None:
    prefix = f"page-{uuid4().hex[:8]}"
    urls = [
        sqs.client.create_queue(QueueName=f"{prefix}-{number}")["QueueUrl"] for number in range(3)
    ]
    first = sqs.client.list_queues(QueueNamePrefix=prefix, MaxResults=2)
    rest = sqs.client.list_queues(
        QueueNamePrefix=prefix, MaxResults=2, NextToken=first["NextToken"]
    )
    assert sorted(first["QueueUrls"] + rest["QueueUrls"]) == sorted(urls)
    assert "NextToken" not in rest
    for url in urls:
        sqs.client.delete_queue(QueueUrl=url)


def test_a_queue_that_is_not_there_is_refused(sqs: Server, standard: Queue) -> None:
    with refused(*MISSING):
        sqs.client.receive_message(QueueUrl=standard.url + "-not")
    with refused(*MISSING):
        sqs.client.get_queue_url(QueueName="not-there")
    with refused(*MISSING):
        sqs.client.get_queue_attributes(QueueUrl=standard.url + "-not", AttributeNames=["All"])


def test_a_deleted_queue_is_gone(sqs: Server) -> None:
    with queue(sqs.client) as made:
        sqs.client.delete_queue(QueueUrl=made.url)
        with refused(*MISSING):
            made.send("late")
        sqs.client.create_queue(QueueName=made.name)


def test_purging_takes_everything(standard: Queue) -> None:
    for number in range(5):
        standard.send(str(number))
    standard.receive(2)
    standard.client.purge_queue(QueueUrl=standard.url)
    assert standard.depths() == (0, 0, 0)


def test_a_redrive_policy_is_kept(sqs: Server, standard: Queue) -> None:
    policy = redrive(standard, 3)
    with queue(sqs.client, RedrivePolicy=policy) as source:
        assert '"maxReceiveCount"' in source.attribute("RedrivePolicy")
        assert standard.attribute("QueueArn") in source.attribute("RedrivePolicy")
