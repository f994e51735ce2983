"""Changes of a table's items go to handlers while the shards of its stream roll and split."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import penstock
from tests.python.boundary import bench
from tests.python.integration import harness, observer
from tests.python.integration.tables import Writer, create_table
from tests.services import dynamodb
from tests.services.environment import ACCESS_KEY, SECRET_KEY, clean_environment
from tests.services.wire import DynamoDbServer, dynamodb_server

OPTIONS = {"batch_size": 500, "starting_position": "TRIM_HORIZON"}
WRITES = 20_000
MAPPINGS = {
    "whole": {"source": "dynamodb:orders", "options": OPTIONS},
    "lanes": {"source": "dynamodb:orders", "options": OPTIONS | {"parallelization_factor": 4}},
}


def test_nothing_is_lost_while_shards_split_and_roll(tmp_path: Path) -> None:
    with dynamodb_server() as server:
        tables = server.client("dynamodb", retries=3)
        create_table(tables, "orders")
        writer = Writer(tables, "orders")
        with harness.service(tmp_path, endpoint=server.url, mappings=MAPPINGS) as service:
            writer.write(WRITES // 4)
            service.start()
            for change in (server.split, server.roll, server.split):
                change("orders")
                writer.write(WRITES // 4)
            _judge(service, writer)


@pytest.mark.slow
def test_nothing_is_lost_on_dynamodb_local(tmp_path: Path) -> None:
    with dynamodb.dynamodb_local() as endpoint:
        tables = endpoint.client(retries=3)
        create_table(tables, "orders")
        writer = Writer(tables, "orders")
        with harness.service(tmp_path, endpoint=endpoint.url, mappings=MAPPINGS) as service:
            writer.write(WRITES // 4)
            service.start()
            writer.write(3 * WRITES // 4)
            _judge(service, writer)


@pytest.mark.slow
def test_nothing_is_lost_while_dynamodb_local_rolls_its_shards(tmp_path: Path) -> None:
    # At 600 times a shard lasts 24 s, an iterator 1.5 s, and a record 144 s.
    with dynamodb.dynamodb_rolling(600) as endpoint:
        tables, streams = endpoint.client(retries=5), endpoint.client("dynamodbstreams", retries=5)
        arn = create_table(tables, "orders")
        writer = Writer(tables, "orders")
        with harness.service(tmp_path, endpoint=endpoint.url, mappings=MAPPINGS) as service:
            service.start()
            service.until_started()
            # Spread over the lives of several shards.
            writer.write(WRITES, between=lambda: time.sleep(0.05))
            shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
            assert len(shards) > 1, "no shard rolled while it was written"
            _judge(service, writer)


def _judge(service: harness.Service, writer: Writer) -> None:
    for mapping in MAPPINGS:
        service.until_handled(writer.puts, mapping, timeout_s=90)
    assert service.terminate() == 0, service.tail()
    observer.check_all(service.journal, writer.puts, MAPPINGS)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in clean_environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def test_an_event_is_what_lambda_delivers(tmp_path: Path, aws: None) -> None:
    with dynamodb_server() as server:
        tables = server.client("dynamodb")
        arn = create_table(tables, "orders")
        key = {"id": {"S": "ключ\n"}}
        nested = {"M": {'a"b': {"L": [{"NULL": True}, {"BOOL": False}, {"N": "1.5"}]}}}
        item = key | {"raw": {"B": b"foobar"}, "nested": nested, "tags": {"SS": ["é", "🦀"]}}
        tables.put_item(TableName="orders", Item=item)
        tables.update_item(
            TableName="orders",
            Key=key,
            UpdateExpression="SET raw = :v",
            ExpressionAttributeValues={":v": {"B": b""}},
        )
        assert server.ttl_delete("orders", key)
        events = _run(server, tmp_path, batch_size=10)
    inserted, modified, expired = (record for event in events for record in event["Records"])
    shown = {**item, "raw": {"B": "Zm9vYmFy"}}
    assert list(inserted) == [
        "eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb",
        "eventSourceARN",
    ]  # fmt: skip
    assert (inserted["eventName"], inserted["eventVersion"]) == ("INSERT", "1.1")
    assert (inserted["eventSource"], inserted["awsRegion"]) == ("aws:dynamodb", "us-east-1")
    assert inserted["eventSourceARN"] == arn
    change = inserted["dynamodb"]
    assert list(change) == [
        "ApproximateCreationDateTime", "Keys", "NewImage", "SequenceNumber", "SizeBytes",
        "StreamViewType",
    ]  # fmt: skip
    created = change["ApproximateCreationDateTime"]
    assert isinstance(created, float)
    assert created.is_integer()
    assert (change["Keys"], change["NewImage"]) == (key, shown)
    assert modified["eventName"] == "MODIFY"
    assert modified["dynamodb"]["OldImage"] == shown
    assert modified["dynamodb"]["NewImage"]["raw"] == {"B": ""}
    assert "userIdentity" not in modified
    assert expired["userIdentity"] == {
        "type": "Service",
        "principalId": "dynamodb.amazonaws.com",
    }
    assert list(expired)[4:7] == ["awsRegion", "userIdentity", "dynamodb"]
    assert "NewImage" not in expired["dynamodb"]


def test_dictionaries_and_json_are_the_same_event(aws: None) -> None:
    texts = ["", "plain", 'quote"back\\slash/', "\x00\x08\x0b\x1f\x7f\n", "日本語 🦀", "\u2028"]
    deep: dict[str, Any] = {"S": "bottom"}
    for _ in range(15):
        deep = {"M": {"m": {"L": [deep, {"NULL": True}]}}}
    with dynamodb_server() as server, bench.runtime() as engine:
        tables = server.client("dynamodb")
        arn = create_table(tables, "orders")
        for number, text in enumerate(texts):
            key = {"id": {"S": f"key {text or number}"}}
            tables.put_item(TableName="orders", Item=key | {f"a{text}": {"S": text}, "d": deep})
            tables.put_item(TableName="orders", Item=key | {"b": {"BOOL": number > 1}})
            tables.delete_item(TableName="orders", Key=key)
        access = {
            "access": "tables", "region": "us-east-1", "endpoint": server.url,
            "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "session_token": None,
            "expires_at": None, "ca_bundle": None, "proxy": None, "connect_timeout_s": 5.0,
            "read_timeout_s": 5.0,
        }  # fmt: skip
        engine.push_access(json.dumps(access).encode())
        own = {"Source": "dynamodb:orders", "Access": "tables"}
        engine.add_mapping(bench.mapping_document(EventSourceArn=arn, Penstock=own))
        records: list[Any] = []
        while len(records) < 3 * len(texts):
            invocation = bench.take(engine)
            encoded, event = invocation.json(), invocation.event()
            assert event == json.loads(encoded)
            compact = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
            assert compact.encode() == encoded
            records.extend(event["Records"])
            engine.complete(bench.MAPPING, invocation.id, "returned", b"null")
    images = [record["dynamodb"].get("NewImage", {}) for record in records]
    shown = [text for image in images for name, text in image.items() if name.startswith("a")]
    assert sorted(each["S"] for each in shown) == sorted(texts)
    assert [image["d"] for image in images if "d" in image] == [deep] * len(texts)


@pytest.mark.parametrize("view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE"])
def test_a_view_without_images_shows_none(tmp_path: Path, aws: None, view: str) -> None:
    with dynamodb_server() as server:
        tables = server.client("dynamodb")
        create_table(tables, "orders", view)
        for n in ("1", "2"):
            tables.put_item(TableName="orders", Item={"id": {"S": "a"}, "n": {"N": n}})
        [event] = _run(server, tmp_path, batch_size=10)
    changes = [record["dynamodb"] for record in event["Records"]]
    assert [change["StreamViewType"] for change in changes] == [view, view]
    assert ["NewImage" in change for change in changes] == [view == "NEW_IMAGE"] * 2
    assert ["OldImage" in change for change in changes] == [False, view == "OLD_IMAGE"]


def test_latest_leaves_out_what_was_there_and_a_restart_repeats_nothing(
    tmp_path: Path, aws: None
) -> None:
    with dynamodb_server() as server:
        tables = server.client("dynamodb")
        create_table(tables, "orders")
        tables.put_item(TableName="orders", Item={"id": {"S": "old"}})
        server.advance(5_000)
        latest: dict[str, Any] = {"starting_position": "LATEST"}
        assert _run(server, tmp_path, **latest) == []
        assert _run(server, tmp_path, **latest) == [], "nor after a restart"
        tables.put_item(TableName="orders", Item={"id": {"S": "new"}})
        server.roll("orders")
        tables.put_item(TableName="orders", Item={"id": {"S": "newer"}})
        events = _run(server, tmp_path, **latest)
        assert _run(server, tmp_path, **latest) == [], "and what was handled is not repeated"
    assert sorted(_keys(events)) == ["new", "newer"]


def test_changes_that_expired_unread_are_told_as_a_gap(tmp_path: Path, aws: None) -> None:
    with dynamodb_server("--shards", "1") as server:
        tables = server.client("dynamodb")
        arn = create_table(tables, "orders")
        description = server.client("dynamodbstreams").describe_stream(StreamArn=arn)
        [shard] = description["StreamDescription"]["Shards"]
        tables.put_item(TableName="orders", Item={"id": {"S": "handled"}})
        assert _keys(_run(server, tmp_path)) == ["handled"]
        tables.put_item(TableName="orders", Item={"id": {"S": "lost"}})
        assert server.trim("orders", shard["ShardId"]) == 2
        tables.put_item(TableName="orders", Item={"id": {"S": "kept"}})
        assert _keys(_run(server, tmp_path, gaps=1)) == ["kept"]


def test_a_disabled_stream_is_read_to_its_end(tmp_path: Path, aws: None) -> None:
    with dynamodb_server() as server:
        tables = server.client("dynamodb")
        arn = create_table(tables, "orders")
        for number in range(20):
            tables.put_item(TableName="orders", Item={"id": {"S": f"key-{number}"}})
        tables.delete_table(TableName="orders")
        events = _run(server, tmp_path, source=arn)
        assert _run(server, tmp_path, source=arn) == []
    assert len(_keys(events)) == 20


def _run(server: DynamoDbServer, home: Path, *, gaps: int = 0, **options: Any) -> list[Any]:
    """Run an app until everything is settled; returns the events that its handler got."""
    app = penstock.App(state=home / "state", endpoint=server.url, region="us-east-1", workers=4)
    events: list[Any] = []

    @app.function(name="handler")
    def handler(event: penstock.DynamoDBEvent, context: penstock.Context) -> None:
        events.append(event)

    source = options.pop("source", "dynamodb:orders")
    app.on(source, **({"starting_position": "TRIM_HORIZON"} | options))(handler)
    report = app.run(until="idle", max_time=30)
    assert (report.drained, report.gaps, report.discarded) == (True, gaps, 0)
    return events


def _keys(events: list[Any]) -> list[str]:
    records = [record for event in events for record in event["Records"]]
    return [record["dynamodb"]["Keys"]["id"]["S"] for record in records]
