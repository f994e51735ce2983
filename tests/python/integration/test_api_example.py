"""The example of AWS's documents, typed with the stock `aws` command line, does what it says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.python.integration import observer
from tests.python.integration.api_service import ApiService, serving
from tests.python.integration.tables import Writer, create_table
from tests.services import awscli, dynamodb
from tests.services.aws import Endpoint
from tests.services.wire import DynamoDbServer, dynamodb_server

ARN = "arn:aws:dynamodb:us-east-2:123456789012:table/my-table/stream/2019-06-10T19:26:16.525"
EXAMPLE = [
    "create-event-source-mapping", "--function-name", "my-function", "--batch-size", "500",
    "--starting-position", "LATEST", "--event-source-arn", ARN,
]  # fmt: skip
OF_2019: dict[str, Any] = {
    "BatchSize": 500,
    "MaximumBatchingWindowInSeconds": 0,
    "ParallelizationFactor": 1,
    "EventSourceArn": ARN,
    "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:my-function",
    "LastProcessingResult": "No records processed",
    "State": "Creating",
    "StateTransitionReason": "User action",
    "DestinationConfig": {},
    "MaximumRecordAgeInSeconds": 604800,
    "BisectBatchOnFunctionError": False,
    "MaximumRetryAttempts": 10000,
}
TODAY: dict[str, Any] = OF_2019 | {
    "DestinationConfig": {"OnFailure": {}},
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "StartingPosition": "LATEST",
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.mark.slow
def test_the_example_works_on_dynamodb_local(tmp_path: Path) -> None:
    _type_the_example(tmp_path, dynamodb.dynamodb_local, "today", TODAY)


@pytest.mark.slow
def test_the_example_of_2019_works_on_our_server(tmp_path: Path) -> None:
    _type_the_example(tmp_path, dynamodb_server, "2019", OF_2019)


def _type_the_example(
    home: Path,
    start: Callable[[], AbstractContextManager[Endpoint | DynamoDbServer]],
    defaults: str,
    expected: dict[str, Any],
) -> None:
    with start() as server:
        tables = server.client("dynamodb")
        create_table(tables, "my-table")
        alias = f"{ARN}=dynamodb:my-table@{server.url}"
        options = ("--api-defaults", defaults, "--source-alias", alias)
        with serving(home, *options, functions={"my-function": {}}) as service:
            uuid = _create(service, expected)
            service.until_state(service.client(), uuid, "Enabled")
            if start is dynamodb.dynamodb_local:
                # It dates records by the minute, so LATEST begins with the next one.
                time.sleep(60.5 - time.time() % 60)
            writer = Writer(tables, "my-table", keys=20)
            writer.write(200)
            _until_handled(service, writer)
            _look_change_delete(service, uuid, writer)
            assert service.stop() == 0, service.tail()
    lines = observer.read_journal(service.journal)
    observer.check_order(lines, "my-function")
    observer.check_nothing_lost(lines, writer.puts, "my-function")


def _create(service: ApiService, expected: dict[str, Any]) -> str:
    made = awscli.aws(service.url, *EXAMPLE, region="us-east-2")
    uuid = made.pop("UUID")
    assert UUID.fullmatch(uuid)
    assert abs(_seconds(made.pop("LastModified")) - time.time()) < 60
    arn = made.pop("EventSourceMappingArn", None)
    if expected is OF_2019:
        assert arn is None
    else:
        assert arn == f"arn:aws:lambda:us-east-2:123456789012:event-source-mapping:{uuid}"
    assert made == expected
    return str(uuid)


def _look_change_delete(service: ApiService, uuid: str, writer: Writer) -> None:
    def aws(*arguments: str) -> Any:
        return awscli.aws(service.url, *arguments, region="us-east-2")

    client = service.client()
    listed = aws("list-event-source-mappings", "--function-name", "my-function")
    assert [each["UUID"] for each in listed["EventSourceMappings"]] == [uuid]
    deadline = time.monotonic() + 60
    while (found := aws("get-event-source-mapping", "--uuid", uuid))["State"] != "Enabled" or (
        found["LastProcessingResult"] != "OK"
    ):
        assert time.monotonic() < deadline, found
    assert found["EventSourceArn"] == ARN
    changed = aws("update-event-source-mapping", "--uuid", uuid, "--batch-size", "100")
    assert (changed["State"], changed["BatchSize"]) == ("Updating", 100)
    service.until_state(client, uuid, "Enabled")
    writer.write(50)
    _until_handled(service, writer)
    twin = awscli.run(service.url, *EXAMPLE, region="us-east-2")
    assert twin.returncode != 0
    assert "ResourceConflictException" in twin.stderr
    gone = aws("delete-event-source-mapping", "--uuid", uuid)
    assert gone["State"] == "Deleting"
    service.until_gone(client, uuid)
    assert aws("list-event-source-mappings") == {"EventSourceMappings": []}


def _until_handled(service: ApiService, writer: Writer) -> None:
    wanted = {put.id for put in writer.puts}
    deadline = time.monotonic() + 60
    while True:
        seen = observer.handled(observer.read_journal(service.journal), "my-function")
        if wanted <= seen:
            return
        assert time.monotonic() < deadline, f"{len(wanted - seen)} lost\n{service.tail()}"
        time.sleep(0.1)


def _seconds(text: Any) -> float:
    from datetime import datetime

    if isinstance(text, int | float):
        return float(text)
    return datetime.fromisoformat(text).timestamp()
