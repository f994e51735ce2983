"""DynamoDB Local 1.11 under a fast clock: shards roll by themselves, iterators and records age.

At 600 times a shard lasts 24 seconds; records are trimmed after 72 seconds at 1,200 times.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.aws import Endpoint
from tests.services.dynamodb import dynamodb_rolling
from tests.wire.dynamodb_kit import Database, Table, key_of, number, table
from tests.wire.kit import eventually, refused

pytestmark = pytest.mark.slow

KEYS = 10


@contextmanager
def fast(speed: int) -> Iterator[Table]:
    """A table on a server whose clock runs fast; its clients try again."""
    with dynamodb_rolling(speed) as endpoint, table(patient(endpoint)) as made:
        yield made


def patient(endpoint: Endpoint) -> Database:
    return Database(
        name=endpoint.name,
        port=endpoint.port,
        tables=endpoint.client(retries=5),
        streams=endpoint.client("dynamodbstreams", retries=5),
    )


def test_shards_roll_while_they_are_written() -> None:
    with fast(600) as made:
        written = 0
        deadline = time.monotonic() + 90
        while len(made.ids()) < 4:
            assert time.monotonic() < deadline, "no shard rolled"
            for _ in range(20):
                made.put(id=number(written % KEYS), nth=number(written))
                written += 1
            time.sleep(0.1)
        shards = made.shards()
        orders: dict[int, list[int]] = defaultdict(list)
        for shard in shards:
            for record in drained(made, shard["ShardId"]):
                orders[key_of(record)].append(int(record["dynamodb"]["NewImage"]["nth"]["N"]))
        for parent, child in pairwise(shards):
            assert child["ParentShardId"] == parent["ShardId"]
            assert "EndingSequenceNumber" in parent["SequenceNumberRange"]
        assert orders == {key: list(range(key, written, KEYS)) for key in range(KEYS)}


def test_iterators_and_records_age() -> None:
    with fast(1200) as made:
        made.put(id=number(1))
        (shard,) = made.ids()
        first = drained(made, shard)[0]["dynamodb"]["SequenceNumber"]
        token = made.iterator(shard, "TRIM_HORIZON")
        time.sleep(2)
        with refused("ExpiredIteratorException"):
            made.get(token)
        eventually(
            lambda: (
                refusal(lambda: made.read(shard, "AT_SEQUENCE_NUMBER", SequenceNumber=first))
                == "TrimmedDataAccessException"
            ),
            within_s=120,
        )


def drained(made: Table, shard: str) -> list[dict[str, Any]]:
    """All records of a shard, though iterators may die between two calls."""
    records: list[dict[str, Any]] = []
    while True:
        last = {"SequenceNumber": records[-1]["dynamodb"]["SequenceNumber"]} if records else {}
        kind = "AFTER_SEQUENCE_NUMBER" if records else "TRIM_HORIZON"
        try:
            answer = made.read(shard, kind, **last)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExpiredIteratorException":
                raise
            continue
        if not answer["Records"]:
            return records
        records += answer["Records"]


def refusal(call: Callable[[], object]) -> str | None:
    """The error a call is refused with now; None when it is answered."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None
