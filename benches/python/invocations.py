"""Makes invocations of each kind of source, to build their events again and again."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from benches.load import rounds
from penstock._bridge import Invocation, Runtime
from tests.services.dynamodb import list_streams
from tests.services.environment import ACCESS_KEY, REGION, SECRET_KEY
from tests.services.process import running

POOL = "threads"
MAPPING = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
WAIT_S = 20.0


@contextlib.contextmanager
def runtime() -> Iterator[Runtime]:
    """Start a runtime that keeps its state in memory, and close it."""
    started = Runtime(json.dumps({"state_dir": None, "workers": {POOL: 1}}).encode())
    try:
        yield started
    finally:
        started.close(2.0)


def mapping(source: str, batch: int, **members: Any) -> bytes:
    """Give a mapping's document."""
    own = {"Source": source, "RoleArn": f"arn:aws:iam::{'0' * 12}:role/bench", "Pool": POOL}
    given = {
        "UUID": MAPPING,
        "FunctionArn": f"arn:aws:lambda:{REGION}:{'0' * 12}:function:bench",
        "BatchSize": batch,
        "Penstock": own | {"Region": REGION} | members.pop("Penstock", {}),
    }
    return json.dumps(given | members).encode()


def fill(engine: Runtime, records: int, data: str) -> None:
    """Make the embedded stream `orders` with so many records of one base64 text."""
    entries = [{"key": f"key-{n}", "data": data, "hash_key": None} for n in range(records)]
    _ask(engine.streams, op="create", name="orders", shards=1)
    _ask(engine.streams, op="put", name="orders", records=entries)


def of_stream(engine: Runtime, records: int, data: str) -> Invocation:
    """Give one invocation of so many records in Kinesis's shape."""
    fill(engine, records, data)
    window = {"StartingPosition": "TRIM_HORIZON", "MaximumBatchingWindowInSeconds": 10}
    engine.add_mapping(mapping("stream:orders", records, **window))
    return take(engine)


def of_queue(engine: Runtime, messages: int, body: str) -> Invocation:
    """Give one invocation of so many messages in the shape of SQS."""
    _ask(engine.queues, op="create", name="orders")
    _ask(engine.queues, op="send", name="orders", messages=[{"body": body}] * messages)
    engine.add_mapping(mapping("queue:orders", messages, MaximumBatchingWindowInSeconds=2))
    return take(engine)


@contextlib.contextmanager
def of_table(engine: Runtime, changes: int) -> Iterator[Invocation]:
    """Give one invocation of so many changes of a table, items of about 1 KB, from our server."""
    program = str(rounds.target() / "release" / "penstock-servers")
    with running("penstock-servers", [program, "dynamodb"]) as server:
        port = server.fact(lambda fact: "port" in fact)["port"]
        server.wait_until(lambda: list_streams(int(str(port))))
        url = f"http://127.0.0.1:{port}"
        access = {
            "access": "tables",
            "region": REGION,
            "endpoint": url,
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }
        engine.push_access(json.dumps(access).encode())
        arn = _table(url, changes)
        options = {"StartingPosition": "TRIM_HORIZON", "MaximumBatchingWindowInSeconds": 5}
        own = {"Access": "tables"}
        engine.add_mapping(
            mapping("dynamodb:orders", changes, EventSourceArn=arn, Penstock=own, **options)
        )
        yield take(engine)


def take(engine: Runtime) -> Invocation:
    """Wait for the next invocation."""
    invocation = engine.next_invocation(POOL, 0, WAIT_S)
    if invocation is None:
        raise SystemExit(f"no invocation came within {WAIT_S:.0f} s")
    return invocation


def _table(url: str, changes: int) -> str:
    import boto3

    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    client.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    until = time.monotonic() + WAIT_S
    while (table := client.describe_table(TableName="orders")["Table"])["TableStatus"] != "ACTIVE":
        if time.monotonic() > until:
            raise SystemExit("the table is not made")
        time.sleep(0.05)
    # One number, one document and a text: what items are made of.
    lines = {"M": {f"line-{n}": {"N": str(n)} for n in range(20)}}
    note = {"S": "n" * 600}
    for number in range(changes):
        key = {"id": {"S": f"order-{number}"}}
        client.put_item(TableName="orders", Item=key | {"lines": lines, "note": note})
    return str(table["LatestStreamArn"])


def _ask(command: Any, **members: Any) -> None:
    command(json.dumps(members).encode())


def no_proxies() -> None:
    """Let calls to this machine go straight through."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
