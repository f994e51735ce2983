"""Puts records into an embedded stream and takes the invocations that a mapping makes of them."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from penstock._bridge import Invocation, Runtime

MAPPING = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
FUNCTION = "arn:aws:lambda:us-east-2:123456789012:function:orders"
ROLE = "arn:aws:iam::123456789012:role/lambda-role"
POOL = "threads"


def document(**members: Any) -> bytes:
    """Give a runtime's document, by default one that keeps its state in memory."""
    given: dict[str, Any] = {"state_dir": None, "clock": "system", "workers": {POOL: 4}}
    return json.dumps(given | members).encode()


def mapping_document(stream: str = "orders", **members: Any) -> bytes:
    """Give a mapping's document that reads an embedded stream from its beginning."""
    own = {"Source": f"stream:{stream}", "RoleArn": ROLE, "Pool": POOL, "Region": "us-east-2"}
    given: dict[str, Any] = {
        "UUID": MAPPING,
        "FunctionArn": FUNCTION,
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 10_000,
        "Penstock": own | members.pop("Penstock", {}),
    }
    return json.dumps(given | members).encode()


@contextmanager
def runtime(**members: Any) -> Iterator[Runtime]:
    """Start a runtime and close it."""
    started = Runtime(document(**members))
    try:
        yield started
    finally:
        started.close(2.0)


def ask(engine: Runtime, **command: Any) -> dict[str, Any]:
    """Carry out a command of embedded streams."""
    answer: dict[str, Any] = json.loads(engine.streams(json.dumps(command).encode()))
    return answer


def put(
    engine: Runtime, records: Sequence[tuple[str, bytes]], stream: str = "orders"
) -> list[dict[str, Any]]:
    """Put records and tell where they went."""
    entries = [
        {"key": key, "data": base64.b64encode(data).decode(), "hash_key": None}
        for key, data in records
    ]
    placed: list[dict[str, Any]] = ask(engine, op="put", name=stream, records=entries)["records"]
    return placed


def filled(
    engine: Runtime, records: Sequence[tuple[str, bytes]], **members: Any
) -> list[dict[str, Any]]:
    """Make a stream of one shard with these records, and a mapping that takes them at once."""
    ask(engine, op="create", name="orders", shards=1)
    placed = put(engine, records) if records else []
    whole = {"BatchSize": max(len(records), 1), "MaximumBatchingWindowInSeconds": 10}
    engine.add_mapping(mapping_document(**(whole | members)))
    return placed


def take(engine: Runtime, *, slot: int = 0, tries: int = 100) -> Invocation:
    """Wait for the next invocation, at most ten seconds."""
    for _ in range(tries):
        invocation = engine.next_invocation(POOL, slot, 0.1)
        if invocation is not None:
            return invocation
    raise AssertionError("no invocation came within ten seconds")
