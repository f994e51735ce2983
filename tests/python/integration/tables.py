"""Writes to a DynamoDB table so that every change of an item can be told from every other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.python.integration.observer import Put
from tests.python.integration.service import write_id

BATCH = 25


def create_table(tables: Any, name: str, view: str = "NEW_AND_OLD_IMAGES") -> str:
    """Create a table with a stream, and wait until it can be written; returns the stream's ARN."""
    tables.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
    )
    deadline = time.monotonic() + 60
    while True:
        table = tables.describe_table(TableName=name)["Table"]
        if table["TableStatus"] == "ACTIVE":
            return str(table["LatestStreamArn"])
        assert time.monotonic() < deadline, f"table {name} stays {table['TableStatus']}"
        time.sleep(0.05)


@dataclass(slots=True)
class Writer:
    """Inserts, updates, overwrites and deletes items of many keys, each key's in order."""

    tables: Any
    table: str
    keys: int = 500
    puts: list[Put] = field(default_factory=list)
    _next: dict[str, int] = field(default_factory=dict)
    _there: set[str] = field(default_factory=set)

    def write(self, count: int, *, between: Callable[[], None] | None = None) -> None:
        """Make so many changes; `between` is called after each batch."""
        done = 0
        while done < count:
            size = min(BATCH, count - done, self.keys)
            self._batch(size)
            done += size
            if between is not None:
                between()

    def _batch(self, size: int) -> None:
        """Change so many items that follow one another: one call of many, and a few updates."""
        start = len(self.puts)
        keys = [f"key-{(start + place) * 7919 % self.keys}" for place in range(size)]
        assert len(set(keys)) == size, "a batch may not change an item twice"
        requests = []
        for key in keys:
            n = self._next.get(key, 0)
            self._next[key] = n + 1
            self.puts.append(Put(id=write_id(key, n), key=key, n=n))
            if n % 7 == 6 and key in self._there:
                self._there.discard(key)
                requests.append({"DeleteRequest": {"Key": {"id": {"S": key}}}})
            elif n % 5 == 3 and key in self._there:
                self._update(key, n)
            else:
                self._there.add(key)
                item = {"id": {"S": key}, "n": {"N": str(n)}, "filler": {"S": 'é "quoted"'}}
                requests.append({"PutRequest": {"Item": item}})
        if requests:
            answer = self.tables.batch_write_item(RequestItems={self.table: requests})
            assert not answer.get("UnprocessedItems"), "the writer was refused: order is lost"

    def _update(self, key: str, n: int) -> None:
        self.tables.update_item(
            TableName=self.table,
            Key={"id": {"S": key}},
            UpdateExpression="SET n = :n",
            ExpressionAttributeValues={":n": {"N": str(n)}},
        )
