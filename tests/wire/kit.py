"""What the tests of the wire suite share: streams that come and go, reads to the end, refusals."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

WAIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server under test: its name in the table, its port, a client for it."""

    name: str
    port: int
    client: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream of one test."""

    client: Any
    name: str

    def shards(self) -> list[dict[str, Any]]:
        """All shards, by id."""
        listed = self.client.list_shards(StreamName=self.name)["Shards"]
        return sorted(listed, key=lambda shard: str(shard["ShardId"]))

    def ids(self) -> list[str]:
        return [shard["ShardId"] for shard in self.shards()]

    def put(self, data: bytes, key: str = "k", **more: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.put_record(
            StreamName=self.name, Data=data, PartitionKey=key, **more
        )
        return answer

    def iterator(self, shard: str, kind: str = "TRIM_HORIZON", **more: object) -> str:
        answer = self.client.get_shard_iterator(
            StreamName=self.name, ShardId=shard, ShardIteratorType=kind, **more
        )
        return str(answer["ShardIterator"])

    def read(self, shard: str, kind: str = "TRIM_HORIZON", **more: object) -> dict[str, Any]:
        """One GetRecords from a fresh iterator."""
        answer: dict[str, Any] = self.client.get_records(
            ShardIterator=self.iterator(shard, kind, **more)
        )
        return answer

    def drain(self, shard: str) -> list[dict[str, Any]]:
        """All records of a shard: to the end when it is closed, else to an empty answer."""
        records: list[dict[str, Any]] = []
        token: str | None = self.iterator(shard)
        while token is not None:
            answer = self.client.get_records(ShardIterator=token)
            records += answer["Records"]
            token = answer.get("NextShardIterator")
            if not answer["Records"] and not self.is_closed(shard):
                break
        return records

    def is_closed(self, shard: str) -> bool:
        found = next(one for one in self.shards() if one["ShardId"] == shard)
        return "EndingSequenceNumber" in found["SequenceNumberRange"]

    def split(self, shard: str) -> None:
        """Splits a shard in its middle and waits until that is done."""
        keys = next(one for one in self.shards() if one["ShardId"] == shard)["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2 + 1
        self.client.split_shard(
            StreamName=self.name, ShardToSplit=shard, NewStartingHashKey=str(middle)
        )
        self.wait()

    def merge(self, shard: str, adjacent: str) -> None:
        self.client.merge_shards(
            StreamName=self.name, ShardToMerge=shard, AdjacentShardToMerge=adjacent
        )
        self.wait()

    def status(self) -> str:
        summary = self.client.describe_stream_summary(StreamName=self.name)
        return str(summary["StreamDescriptionSummary"]["StreamStatus"])

    def wait(self) -> None:
        """Waits until the stream is ACTIVE."""
        eventually(lambda: self.status() == "ACTIVE")


@contextmanager
def stream(client: Any, shards: int = 1) -> Iterator[Stream]:
    """A new stream, deleted at the end."""
    made = Stream(client=client, name=f"test-{uuid4().hex[:12]}")
    client.create_stream(StreamName=made.name, ShardCount=shards)
    made.wait()
    yield made
    client.delete_stream(StreamName=made.name)


def eventually(holds: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Waits until something holds, and fails when it does not in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


@contextmanager
def refused(*codes: str) -> Iterator[None]:
    """Expects a call to be refused with one of these error types."""
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] in codes, caught.value


def datas(records: list[dict[str, Any]]) -> list[bytes]:
    return [record["Data"] for record in records]
