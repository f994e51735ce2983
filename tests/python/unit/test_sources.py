"""Tests how sources and destinations are named."""

from __future__ import annotations

import pytest

from penstock.errors import ConfigurationError
from penstock.sources import embedded_arn, parse_destination, parse_source

KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo"
AWS_QUEUES = "https://sqs.eu-west-1.amazonaws.com"
TABLE_STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-31T12:00:00.000"


def test_short_names_and_arns_of_embedded_streams_are_one_source() -> None:
    short, long = parse_source("stream:orders"), parse_source(embedded_arn("orders"))
    assert short == long
    assert short.uri == short.identity == "stream:orders"
    assert short.arn == "arn:aws:penstock:::stream/orders"


def test_short_names_and_arns_of_embedded_queues_are_one_source() -> None:
    for name in ("orders", "orders.fifo"):
        short = parse_source(f"queue:{name}")
        assert short == parse_source(f"arn:aws:penstock:::queue/{name}")
        assert short.uri == short.identity == f"queue:{name}"
        assert short.is_queue
        assert short.embedded
    assert not parse_source("stream:orders").is_queue
    assert parse_destination("arn:aws:penstock:::queue/bad", option="on_failure") == "queue:bad"


def test_kinesis_streams_have_a_region_when_they_have_an_arn() -> None:
    assert parse_source("kinesis:orders").arn is None
    source = parse_source(KINESIS)
    assert (source.kind, source.name, source.region) == ("kinesis", "orders", "eu-west-1")
    assert source.identity == KINESIS


def test_tables_have_a_stream_by_name_or_by_arn() -> None:
    source = parse_source("dynamodb:orders")
    assert (source.kind, source.name, source.arn) == ("dynamodb", "orders", None)
    assert source.identity == source.uri == "dynamodb:orders"
    source = parse_source(TABLE_STREAM)
    assert (source.kind, source.name, source.region) == ("dynamodb", "orders", "eu-west-1")
    assert (source.uri, source.identity) == ("dynamodb:orders", TABLE_STREAM)


@pytest.mark.parametrize(
    ("text", "arn", "region", "endpoint"),
    [
        ("sqs:orders.fifo", None, None, None),
        (QUEUE, QUEUE, "eu-west-1", None),
        (f"{AWS_QUEUES}/123456789012/orders.fifo", QUEUE, "eu-west-1", None),
        (
            "https://eu-west-1.queue.amazonaws.com/123456789012/orders.fifo",
            QUEUE,
            "eu-west-1",
            None,
        ),
        ("http://127.0.0.1:9324/000000000000/orders.fifo", None, None, "http://127.0.0.1:9324"),
    ],
)
def test_queues_are_named_by_name_by_arn_or_by_url(
    text: str, arn: str | None, region: str | None, endpoint: str | None
) -> None:
    source = parse_source(text)
    assert (source.kind, source.name, source.uri) == ("sqs", "orders.fifo", "sqs:orders.fifo")
    assert (source.arn, source.region, source.endpoint) == (arn, region, endpoint)
    assert source.url == (text if text.startswith("http") else None)


def test_the_region_of_a_queues_url_tells_its_partition() -> None:
    for region, tail, partition in (
        ("cn-north-1", ".cn", "aws-cn"),
        ("us-gov-west-1", "", "aws-us-gov"),
    ):
        url = f"https://sqs.{region}.amazonaws.com{tail}/123456789012/orders"
        assert parse_source(url).arn == f"arn:{partition}:sqs:{region}:123456789012:orders"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("queue:", "PS104", "queue name"),
        ("queue:a.b", "PS104", "queue name"),
        ("queue:.fifo", "PS104", "queue name"),
        ("queue:" + "a" * 76 + ".fifo", "PS104", "queue name"),
        ("arn:aws:penstock:::queue/a b", "PS104", "queue name"),
        ("dynamodb:ab", "PS104", "table name"),
        ("arn:aws:dynamodb:eu-west-1:123456789012:table/orders", "PS104", "not its stream"),
        (f"{TABLE_STREAM}/more", "PS104", "not its stream"),
        ("sqs:or ders", "PS104", "queue name"),
        ("sqs:" + "a" * 81, "PS104", "queue name"),
        ("sns:orders", "PS105", "SNS topics"),
        ("https://sqs.eu-west-1.amazonaws.com/1/q", "PS104", "not a queue's URL"),
        ("https://example.com/orders", "PS104", "not a queue's URL"),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/a.b", "PS104", "queue name"),
        ("arn:aws:sqs:eu-west-1:123456789012:or.ders", "PS104", "queue name"),
        (f"{KINESIS}/consumer/me:1", "PS105", "enhanced fan-out"),
        ("arn:aws:kinesis", "PS104", "complete ARN"),
        ("orders", "PS104", "is not a source"),
        ("stream:", "PS104", "stream name"),
        ("stream:a b", "PS104", "stream name"),
        ("stream:" + "a" * 129, "PS104", "stream name"),
        ("", "PS104", "is not a source"),
        (7, "PS102", "must be text"),
    ],
)
def test_other_sources_are_refused_by_name(text: object, code: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        parse_source(text, where="app.py:1")
    assert caught.value.code == code
    assert caught.value.hint
    assert caught.value.where == "app.py:1"


def test_destinations_are_embedded_streams_and_files() -> None:
    assert parse_destination("stream:bad", option="on_failure") == "stream:bad"
    assert parse_destination(embedded_arn("bad"), option="on_failure") == "stream:bad"
    assert parse_destination("file:a/b.jsonl", option="on_failure") == "file:a/b.jsonl"


@pytest.mark.parametrize(
    "text",
    ["sqs:q", "sns:t", "s3://b/prefix", "function:keep", "arn:aws:s3:::b",
     "arn:aws:sqs:eu-west-1:123456789012:q", "arn:aws:sns:eu-west-1:123456789012:t"],
)  # fmt: skip
def test_destinations_of_aws_and_functions_stay_as_they_are_written(text: str) -> None:
    assert parse_destination(text, option="on_failure") == text


@pytest.mark.parametrize(
    "text", ["sqs:", "arn:aws:events:eu-west-1:123456789012:b", "s3:b", "stream:", "file:", 1, ""]
)
def test_other_destinations_are_refused_with_what_will_do(text: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_destination(text, option="on_failure")
    assert "file:PATH" in (caught.value.hint or "")
    assert caught.value.path == "on_failure"
