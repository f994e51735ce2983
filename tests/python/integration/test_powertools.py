"""aws-lambda-powertools, which nobody here wrote, understands our events and gives our answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes import DynamoDBStreamEvent, KinesisStreamEvent
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import (
    DynamoDBRecord,
    DynamoDBRecordEventName,
    StreamViewType,
)
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.parser import parse
from aws_lambda_powertools.utilities.parser.models import (
    DynamoDBStreamModel,
    KinesisDataStreamModel,
)

import penstock
from tests.python.integration import harness
from tests.python.integration.tables import create_table
from tests.services.environment import clean_environment
from tests.services.wire import dynamodb_server, wire_server

OPTIONS: dict[str, Any] = {
    "starting_position": "TRIM_HORIZON",
    "batch_size": 10,
    "report_batch_item_failures": True,
    "maximum_retry_attempts": 1,
    "backoff_base": "10 ms",
    "on_failure": "stream:failed",
}


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in clean_environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def test_a_stream_of_kinesis(tmp_path: Path) -> None:
    seen: list[str] = []
    events: list[dict[str, Any]] = []
    processor = BatchProcessor(event_type=EventType.KinesisDataStreams)

    def handle(record: KinesisStreamRecord) -> None:
        body = record.kinesis.data_as_json()
        seen.append(body["id"])
        if body["id"] == "poison":
            raise ValueError(body["id"])

    def handler(event: dict[str, Any], context: Any) -> Any:
        events.append(event)
        return process_partial_response(
            event=event, record_handler=handle, processor=processor, context=context
        )

    with wire_server() as server:
        client = server.client()
        harness.create_stream(client, "orders", 1)
        for name in ("a", "poison", "b"):
            data = json.dumps({"id": name}).encode()
            client.put_record(StreamName="orders", PartitionKey="k", Data=data)
        report = _run(handler, "kinesis:orders", server.url, tmp_path)
    assert (report.succeeded, report.delivered) == (1, 2)
    # A report keeps what came before the failure: the rest is tried again as a batch of its own.
    assert seen == ["a", "poison", "b", "poison", "b", "poison", "b"]
    [first, second, third] = KinesisStreamEvent(events[0]).records
    assert [each.kinesis.partition_key for each in (first, second, third)] == ["k", "k", "k"]
    assert first.event_source == "aws:kinesis"
    assert first.event_id == f"shardId-000000000000:{first.kinesis.sequence_number}"
    assert first.kinesis.data_as_text() == '{"id": "a"}'
    model = parse(event=events[0], model=KinesisDataStreamModel)
    assert [each.kinesis.data for each in model.Records] == [
        base64.b64decode(each["kinesis"]["data"]) for each in events[0]["Records"]
    ]
    assert (
        model.Records[0].kinesis.approximateArrivalTimestamp
        == (events[0]["Records"][0]["kinesis"]["approximateArrivalTimestamp"])
    )


def test_the_stream_of_a_table(tmp_path: Path) -> None:
    seen: list[str] = []
    events: list[dict[str, Any]] = []
    processor = BatchProcessor(event_type=EventType.DynamoDBStreams)

    def handle(record: DynamoDBRecord) -> None:
        assert record.dynamodb is not None
        seen.append(record.dynamodb.keys["id"])
        if record.event_name == DynamoDBRecordEventName.REMOVE:
            raise ValueError("a delete cannot be handled")

    def handler(event: dict[str, Any], context: Any) -> Any:
        events.append(event)
        return process_partial_response(
            event=event, record_handler=handle, processor=processor, context=context
        )

    with dynamodb_server("--shards", "1") as server:
        tables = server.client("dynamodb")
        arn = create_table(tables, "orders")
        item = {"id": {"S": "a"}, "n": {"N": "1.5"}, "tags": {"L": [{"S": "x"}, {"BOOL": True}]}}
        tables.put_item(TableName="orders", Item=item)
        tables.put_item(TableName="orders", Item=item | {"n": {"N": "2"}})
        assert server.ttl_delete("orders", {"id": {"S": "a"}})
        report = _run(handler, "dynamodb:orders", server.url, tmp_path)
    assert (report.succeeded, report.delivered) == (2, 1)
    assert seen == ["a", "a", "a", "a", "a"], "the delete is tried three times in all"
    records = list(DynamoDBStreamEvent(events[0]).records)
    assert [record.event_name for record in records] == [
        DynamoDBRecordEventName.INSERT,
        DynamoDBRecordEventName.MODIFY,
        DynamoDBRecordEventName.REMOVE,
    ]
    change = records[1].dynamodb
    assert change is not None
    assert change.stream_view_type == StreamViewType.NEW_AND_OLD_IMAGES
    assert (change.old_image["n"], change.new_image["n"]) == (pytest.approx(1.5), 2)
    assert change.new_image["tags"] == ["x", True]
    assert (records[1].event_source_arn, records[1].event_version) == (arn, "1.1")
    assert records[2].user_identity == {
        "type": "Service",
        "principalId": "dynamodb.amazonaws.com",
    }
    model = parse(event=events[0], model=DynamoDBStreamModel)
    inserted, _, expired = model.Records
    assert isinstance(inserted.dynamodb.NewImage, dict)
    assert inserted.dynamodb.NewImage["tags"] == ["x", True]
    assert expired.dynamodb.NewImage is None
    assert expired.userIdentity is not None
    assert expired.userIdentity.principalId == "dynamodb.amazonaws.com"


def _run(handler: Any, source: str, endpoint: str, home: Path) -> penstock.Report:
    app = penstock.App(
        state=home / "state", endpoint=endpoint, region="us-east-1", streams={"failed": 1}
    )
    app.on(source, **OPTIONS)(app.function(name="handler")(handler))
    return app.run(until="idle", max_time=30)
