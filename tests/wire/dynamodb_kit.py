"""What the tests of DynamoDB share: tables that come and go, and their streams read to the end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.services.aws import Endpoint
from tests.wire.kit import eventually

Item = dict[str, dict[str, Any]]
BOTH = "NEW_AND_OLD_IMAGES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A server under test: its name in the table, its port, clients for both its services."""

    name: str
    port: int
    tables: Any
    streams: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of one test. Its partition key is the number `id`."""

    database: Database
    name: str

    def put(self, **attributes: dict[str, Any]) -> None:
        self.database.tables.put_item(TableName=self.name, Item=attributes)

    def update(self, key: int, expression: str, **values: dict[str, Any]) -> None:
        """Updates an item; the value `v` stands in the expression as `:v`."""
        self.database.tables.update_item(
            TableName=self.name,
            Key={"id": number(key)},
            UpdateExpression=expression,
            **({"ExpressionAttributeValues": named(values)} if values else {}),
        )

    def delete(self, key: int) -> None:
        self.database.tables.delete_item(TableName=self.name, Key={"id": number(key)})

    def batch(self, *requests: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.database.tables.batch_write_item(
            RequestItems={self.name: list(requests)}
        )
        return answer

    def describe(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.database.tables.describe_table(TableName=self.name)["Table"]
        return answer

    def wait(self) -> None:
        """Waits until the table is ACTIVE."""
        eventually(lambda: self.describe()["TableStatus"] == "ACTIVE")

    def enable(self, view: str = BOTH) -> str:
        """Gives the table a new stream; returns its ARN."""
        wanted = {"StreamEnabled": True, "StreamViewType": view}
        self.database.tables.update_table(TableName=self.name, StreamSpecification=wanted)
        self.wait()
        return self.arn()

    def disable(self) -> None:
        """Switches the stream off."""
        unwanted = {"StreamEnabled": False}
        self.database.tables.update_table(TableName=self.name, StreamSpecification=unwanted)
        self.wait()

    def arn(self) -> str:
        """The ARN of the newest stream."""
        return str(self.describe()["LatestStreamArn"])

    def stream(self, arn: str | None = None, **request: object) -> dict[str, Any]:
        """The description of a stream, the newest if none is named; one page of it."""
        answer = self.database.streams.describe_stream(StreamArn=arn or self.arn(), **request)
        description: dict[str, Any] = answer["StreamDescription"]
        return description

    def shards(self, arn: str | None = None) -> list[dict[str, Any]]:
        """All shards, parents before their children."""
        shards: list[dict[str, Any]] = []
        start: dict[str, object] = {}
        while True:
            page = self.stream(arn, **start)
            shards += page["Shards"]
            if "LastEvaluatedShardId" not in page:
                return in_lineage(shards)
            start = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}

    def ids(self) -> list[str]:
        return [shard["ShardId"] for shard in self.shards()]

    def iterator(self, shard: str, kind: str, arn: str | None = None, **more: object) -> str:
        answer = self.database.streams.get_shard_iterator(
            StreamArn=arn or self.arn(), ShardId=shard, ShardIteratorType=kind, **more
        )
        return str(answer["ShardIterator"])

    def read(self, shard: str, kind: str = "TRIM_HORIZON", **more: Any) -> dict[str, Any]:
        """One GetRecords from a fresh iterator."""
        return self.get(self.iterator(shard, kind, **more))

    def get(self, token: str, **more: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.database.streams.get_records(ShardIterator=token, **more)
        return answer

    def drain(self, shard: str, arn: str | None = None) -> list[dict[str, Any]]:
        """All records of a shard: to the end when it is closed, else to an empty answer."""
        records: list[dict[str, Any]] = []
        token: str | None = self.iterator(shard, "TRIM_HORIZON", arn)
        while token is not None:
            answer = self.get(token)
            records += answer["Records"]
            token = answer.get("NextShardIterator")
            if not answer["Records"] and not self.is_closed(shard, arn):
                break
        return records

    def records(self, arn: str | None = None) -> list[dict[str, Any]]:
        """All records of a stream, those of parents before those of their children."""
        ids = [shard["ShardId"] for shard in self.shards(arn)]
        return [record for shard in ids for record in self.drain(shard, arn)]

    def changes(self) -> list[tuple[str, dict[str, Any]]]:
        """What each record says: its name, and its `dynamodb`."""
        return [(record["eventName"], record["dynamodb"]) for record in self.records()]

    def home(self, key: int) -> str:
        """The shard that holds the records of an item."""
        holders = [
            shard
            for shard in self.ids()
            if any(key_of(record) == key for record in self.drain(shard))
        ]
        return holders[-1]

    def is_closed(self, shard: str, arn: str | None = None) -> bool:
        found = next(one for one in self.shards(arn) if one["ShardId"] == shard)
        return "EndingSequenceNumber" in found["SequenceNumberRange"]


def database(name: str, endpoint: Endpoint) -> Database:
    """Clients for a server."""
    streams = endpoint.client("dynamodbstreams")
    return Database(name=name, port=endpoint.port, tables=endpoint.client(), streams=streams)


@contextmanager
def table(of: Database, view: str | None = BOTH) -> Iterator[Table]:
    """A new table, with a stream unless the view is None, deleted at the end."""
    made = Table(database=of, name=f"test-{uuid4().hex[:12]}")
    wanted: dict[str, object] = {}
    if view is not None:
        wanted["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view}
    of.tables.create_table(
        TableName=made.name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        **wanted,
    )
    made.wait()
    yield made
    if made.name in of.tables.list_tables()["TableNames"]:
        of.tables.delete_table(TableName=made.name)


def number(value: object) -> dict[str, str]:
    return {"N": str(value)}


def text(value: str) -> dict[str, str]:
    return {"S": value}


def key_of(record: Mapping[str, Any]) -> int:
    return int(record["dynamodb"]["Keys"]["id"]["N"])


def named(values: Mapping[str, object]) -> dict[str, object]:
    return {f":{name}": value for name, value in values.items()}


def in_lineage(shards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shards in an order in which each stands behind its parent."""
    left = sorted(shards, key=lambda shard: str(shard["ShardId"]))
    ordered: list[dict[str, Any]] = []
    while left:
        waiting = {shard["ShardId"] for shard in left}
        free = [shard for shard in left if shard.get("ParentShardId") not in waiting]
        ordered += free
        left = [shard for shard in left if shard not in free]
    return ordered
