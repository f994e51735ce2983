"""Asks a source of AWS for each thing that reading it needs.

Rules: every operation that a run would use is asked once, in its order; the one read is at the tip
and of one record, so that it takes nothing from anybody but one of the shard's calls a second; a
source that asks to slow down has allowed the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from penstock.access import Access
from penstock.access_errors import explained
from penstock.checks.findings import Finding, failed
from penstock.checks.queues import queue
from penstock.documents import Prepared
from penstock.errors import SourceError
from penstock.identities import Identity
from penstock.wording import counted

_SLOWED: Final = frozenset({"ProvisionedThroughputExceededException", "LimitExceededException"})
_DENIED: Final = "PS204"


def aws_source(each: Prepared, access: Access) -> Iterator[Finding]:
    """Look at a source that was found already."""
    where = str(each.mapping.origin)
    shards = "" if each.open_shards is None else f", {counted(each.open_shards, 'open shard')}"
    yield Finding(subject="source", good=True, said=f"{each.source.arn}{shards}")
    try:
        client, method = access.client(
            each.source, where=where, identity=Identity.of_source(each.mapping)
        )
    except SourceError as error:
        yield failed("credentials", error)
        return
    yield Finding(subject="credentials", good=True, said=f"found by {method}")
    if each.source.kind == "sqs":
        yield from queue(each, client)
    else:
        yield from _Reading(each, client).asked()


class _Reading:
    """The operations of reading one source, each with what the one before has told."""

    def __init__(self, each: Prepared, client: Any) -> None:
        self._each = each
        self._client = client
        self._table = each.source.kind == "dynamodb"
        self._shard: str | None = None
        self._iterator: str | None = None

    def asked(self) -> Iterator[Finding]:
        """Ask one after the other, as far as the answers carry."""
        listing = "DescribeStream" if self._table else "ListShards"
        yield self._ask(listing, self._list)
        if self._shard is not None:
            yield self._ask("GetShardIterator", self._tip)
        if self._iterator is not None:
            yield self._ask("GetRecords", self._read)

    def _ask(self, operation: str, call: Callable[[], None]) -> Finding:
        source = self._each.source
        try:
            with explained(source.uri, str(self._each.mapping.origin), source.region or ""):
                call()
        except SourceError as error:
            answer = getattr(error.__cause__, "response", {}).get("Error", {})
            if answer.get("Code") in _SLOWED:
                return Finding(subject=operation, good=True, said="allowed, and throttled now")
            service = "dynamodb" if self._table else "kinesis"
            hint = f"allow {service}:{operation} on {source.arn}" if error.code == _DENIED else None
            return failed(operation, error, hint)
        return Finding(subject=operation, good=True, said="allowed")

    def _named(self) -> dict[str, Any]:
        source = self._each.source
        return {"StreamArn": source.arn} if self._table else {"StreamName": source.name}

    def _list(self) -> None:
        if self._table:
            answer = self._client.describe_stream(**self._named())["StreamDescription"]
        else:
            answer = self._client.list_shards(**self._named())
        # The last ones are the youngest, and most likely open.
        self._shard = next((s["ShardId"] for s in reversed(answer.get("Shards", []))), None)

    def _tip(self) -> None:
        answer = self._client.get_shard_iterator(
            **self._named(), ShardId=self._shard, ShardIteratorType="LATEST"
        )
        self._iterator = answer["ShardIterator"]

    def _read(self) -> None:
        self._client.get_records(ShardIterator=self._iterator, Limit=1)
