"""Speaks to embedded streams: records to documents, documents to answers.

Rules: whoever owns the state directory does the work; a request is cut where the stream's own
limits are, 500 records or 5 MiB.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from penstock.errors import ConfigurationError

Record = tuple[str, bytes | str] | dict[str, Any]

# As boto3's put_records has them, and as `penstock stream tail --json` shows them.
_SPELLINGS: Final = (("PartitionKey", "Data", "ExplicitHashKey"), ("key", "data", "hash_key"))
_PUT_RECORDS: Final = 500
_PUT_BYTES: Final = 5 * 1024 * 1024


class Streams:
    """The commands of embedded streams, wherever they are carried out."""

    def __init__(self, ask: Callable[[bytes], bytes]) -> None:
        self._ask = ask

    def create(self, name: str, shards: int = 1) -> dict[str, Any]:
        """Make a stream."""
        return self._do({"op": "create", "name": name, "shards": shards})

    def names(self) -> list[dict[str, Any]]:
        """List streams."""
        listed: list[dict[str, Any]] = self._do({"op": "list"})["streams"]
        return listed

    def describe(self, name: str) -> dict[str, Any]:
        """Describe a stream and its shards."""
        return self._do({"op": "describe", "name": name})

    def delete(self, name: str) -> None:
        """Delete a stream and all its records."""
        self._do({"op": "delete", "name": name})

    def put(self, name: str, records: Iterable[Record]) -> list[dict[str, Any]]:
        """Append records; returns where each went once all are on disk."""
        placed: list[dict[str, Any]] = []
        for part in _parts(records):
            placed += self._do({"op": "put", "name": name, "records": part})["records"]
        return placed

    def read(
        self,
        name: str,
        shard: str,
        *,
        after: str | None = None,
        limit: int = 1000,
        wait_ms: int = 0,
    ) -> dict[str, Any]:
        """Read once from a shard, behind a sequence number or from its beginning."""
        return self._do({
            "op": "read", "name": name, "shard": shard, "after": after, "limit": limit,
            "wait_ms": wait_ms,
        })  # fmt: skip

    def split(self, name: str, shard: str) -> dict[str, Any]:
        """Split a shard in two."""
        return self._do({"op": "split", "name": name, "shard": shard})

    def merge(self, name: str, shard: str, adjacent: str) -> dict[str, Any]:
        """Merge two adjacent shards."""
        return self._do({"op": "merge", "name": name, "shard": shard, "adjacent": adjacent})

    def _do(self, document: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._ask(json.dumps(document).encode()))
        return answer


def encode_record(record: Record) -> dict[str, Any]:
    """Give a record as the document has it: a pair of key and data, or a dict of them."""
    hash_key = None
    if isinstance(record, dict):
        key, data, hash_key = _members(record)
    elif isinstance(record, tuple) and len(record) == 2:
        key, data = record
    else:
        raise _unusable("is (partition key, data) or boto3's dict", type(record).__name__)
    if isinstance(data, str):
        data = data.encode()
    if not isinstance(key, str) or not isinstance(data, bytes | bytearray | memoryview):
        raise _unusable("has a text as its key and bytes or text as data", type(data).__name__)
    return {"key": key, "data": base64.b64encode(data).decode(), "hash_key": hash_key}


def _members(record: dict[str, Any]) -> tuple[Any, Any, Any]:
    for key, data, hash_key in _SPELLINGS:
        if {key, data} <= set(record) <= {key, data, hash_key}:
            return record[key], record[data], record.get(hash_key)
    raise _unusable("has PartitionKey, Data and perhaps ExplicitHashKey", sorted(record))


def _parts(records: Iterable[Record]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for record in records:
        encoded = encode_record(record)
        weight = len(encoded["data"]) * 3 // 4 + len(encoded["key"])
        if part and (len(part) == _PUT_RECORDS or size + weight > _PUT_BYTES):
            yield part
            part, size = [], 0
        part.append(encoded)
        size += weight
    if part:
        yield part


def _unusable(wanted: str, found: object) -> ConfigurationError:
    return ConfigurationError(
        f"a record {wanted}, not {found!r}",
        code="PS102",
        path="records",
        hint='for example ("customer-1", b"…")',
    )
