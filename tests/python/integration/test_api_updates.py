"""A mapping that is changed by the API under load loses nothing and keeps the order of keys."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from penstock.api.client import Client
from penstock.cli.state import open_state
from penstock.streams import Streams
from tests.python.integration import harness, observer
from tests.python.integration.api_service import ApiService, serving
from tests.services.wire import wire_server

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
RECORDS = 20_000
CHANGES: tuple[dict[str, Any], ...] = (
    {"BatchSize": 50},
    {"ParallelizationFactor": 4},
    {"FilterCriteria": {"Filters": [{"Pattern": '{"data": {"filler": [""]}}'}]}},
    {"Enabled": False},
    {"Enabled": True, "BatchSize": 200},
    {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:penstock:::stream/failed"}}},
    {"FilterCriteria": {}, "ParallelizationFactor": 1},
    {"Enabled": False},
    {"Enabled": True},
    {"DestinationConfig": {"OnFailure": {"Destination": ""}}, "ParallelizationFactor": 10},
    {"BatchSize": 500, "MaximumBatchingWindowInSeconds": 1, "MaximumRetryAttempts": 3},
)


def test_changes_under_load_lose_nothing_and_keep_the_order(tmp_path: Path) -> None:
    with wire_server() as server:
        kinesis = server.client()
        harness.create_stream(kinesis, "orders", 3)
        producer = harness.Producer(kinesis, "orders", keys=200)
        behaviour = {"my-function": {"sleep_ms": 5}}
        alias = f"{ARN}=kinesis:orders@{server.url}"
        streams = {"failed": 1}
        with serving(
            tmp_path, "--source-alias", alias, functions=behaviour, streams=streams
        ) as service:
            client = service.client()
            uuid = client.create_event_source_mapping(
                EventSourceArn=ARN, FunctionName="my-function", StartingPosition="TRIM_HORIZON"
            )["UUID"]
            service.until_state(client, uuid, "Enabled")
            for change in CHANGES:
                producer.put(RECORDS // len(CHANGES) + 1)
                _change(service, client, uuid, change)
            _until_all(service, producer)
            found = client.get_event_source_mapping(UUID=uuid)
            assert (found["BatchSize"], found["ParallelizationFactor"]) == (500, 10)
            assert "FilterCriteria" not in found
            assert found["DestinationConfig"] == {"OnFailure": {}}
            assert service.stop() == 0, service.tail()
    observer.check_all(service.journal, producer.puts, ["my-function"])


def test_versions_and_aliases_are_mappings_of_their_own(tmp_path: Path) -> None:
    with serving(tmp_path, functions={"my-function": {}}, streams={"orders": 1}) as service:
        client = service.client()
        for name in ("my-function", "my-function:live", "my-function:7"):
            made = client.create_event_source_mapping(
                EventSourceArn="arn:aws:penstock:::stream/orders",
                FunctionName=name,
                StartingPosition="TRIM_HORIZON",
            )
            assert made["FunctionArn"].endswith(f":function:{name}")
            service.until_state(client, made["UUID"], "Enabled")
        put_embedded(tmp_path, range(10))
        _until_calls(service, 30)
        listed = client.get_paginator("list_functions").paginate(FunctionVersion="ALL")
        found = [each["FunctionArn"] for page in listed for each in page["Functions"]]
        assert [arn.split(":function:")[1] for arn in found] == ["my-function:$LATEST"]
        tried = client.invoke(FunctionName="my-function", Qualifier="live", InvocationType="DryRun")
        assert tried["StatusCode"] == 204
        with pytest.raises(ClientError, match="LogType Tail is not supported"):
            client.invoke(FunctionName="my-function", LogType="Tail")
        assert service.stop() == 0, service.tail()


def test_terraforms_sequence_goes_through(tmp_path: Path) -> None:
    """Its provider waits for a rest after each change, with these states on the way, and reads."""
    created = {"Creating", "Disabling", "Enabling"}
    updated = {"Disabling", "Enabling", "Updating"}
    with serving(tmp_path, functions={"my-function": {}}, streams={"orders": 1}) as service:
        client = service.client()
        for _ in range(10):
            uuid = client.create_event_source_mapping(
                EventSourceArn="arn:aws:penstock:::stream/orders",
                FunctionName="my-function",
                StartingPosition="TRIM_HORIZON",
                Tags={"team": "shop"},
            )["UUID"]
            found = _waited(client, uuid, created)
            assert (found["State"], found["BatchSize"]) == ("Enabled", 100)
            arn = found["EventSourceMappingArn"]
            assert client.list_tags(Resource=arn)["Tags"] == {"team": "shop"}
            for change, state in (
                ({"BatchSize": 5}, "Enabled"),
                ({"Enabled": False, "BatchSize": 6}, "Disabled"),
                ({"MaximumRetryAttempts": 3}, "Disabled"),
                ({"Enabled": True}, "Enabled"),
            ):
                _retried(client.update_event_source_mapping, UUID=uuid, **change)
                found = _waited(client, uuid, updated)
                members = {name: change[name] for name in change.keys() - {"Enabled"}}
                assert found.items() >= (members | {"State": state}).items()
            _retried(client.delete_event_source_mapping, UUID=uuid)
            service.until_gone(client, uuid)
        assert service.stop() == 0, service.tail()


def test_sources_without_a_driver_are_refused_by_name(tmp_path: Path) -> None:
    access = [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:x"}]
    servers = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}}
    msk = "arn:aws:kafka:us-east-2:123456789012:cluster/a/b"
    with serving(tmp_path, functions={"my-function": {}}) as service:
        client = service.client()
        for name, request in (
            ("Amazon MSK clusters", {"EventSourceArn": msk, "Topics": ["orders"]}),
            ("Apache Kafka clusters", {"SelfManagedEventSource": servers, "Topics": ["orders"],
                                       "SourceAccessConfigurations": access}),
        ):  # fmt: skip
            with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
                client.create_event_source_mapping(FunctionName="my-function", **request)
            message = caught.value.response["Error"]["Message"]
            assert message == f"This version of penstock cannot run mappings of {name}."
        assert client.list_event_source_mappings()["EventSourceMappings"] == []
        assert service.stop() == 0, service.tail()


def test_a_disabled_mapping_calls_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, functions={"my-function": {}}, streams={"orders": 2}) as service:
        client = service.client()
        uuid = client.create_event_source_mapping(
            EventSourceArn="arn:aws:penstock:::stream/orders",
            FunctionName="my-function",
            StartingPosition="TRIM_HORIZON",
            Enabled=False,
        )["UUID"]
        service.until_state(client, uuid, "Disabled")
        put_embedded(tmp_path, range(50))
        time.sleep(0.5)
        assert observer.read_journal(service.journal) == []
        client.update_event_source_mapping(UUID=uuid, Enabled=True)
        service.until_state(client, uuid, "Enabled")
        _until_seen(service, 50)
        client.update_event_source_mapping(UUID=uuid, Enabled=False)
        service.until_state(client, uuid, "Disabled")
        before = len(observer.read_journal(service.journal))
        put_embedded(tmp_path, range(50, 80))
        time.sleep(0.5)
        assert len(observer.read_journal(service.journal)) == before
        assert service.stop() == 0, service.tail()


def test_mappings_go_on_after_a_restart_where_they_were(tmp_path: Path) -> None:
    functions: dict[str, dict[str, Any]] = {"my-function": {}, "other": {}}
    with serving(tmp_path, functions=functions, streams={"orders": 2}) as service:
        client = service.client()
        ids = {}
        for name in functions:
            ids[name] = client.create_event_source_mapping(
                EventSourceArn="arn:aws:penstock:::stream/orders",
                FunctionName=name,
                StartingPosition="TRIM_HORIZON",
                BatchSize=7,
                Tags={"team": name},
            )["UUID"]
            service.until_state(client, ids[name], "Enabled")
        put_embedded(tmp_path, range(100))
        _until_seen(service, 100)
        client.update_event_source_mapping(UUID=ids["other"], Enabled=False)
        service.until_state(client, ids["other"], "Disabled")
        assert service.stop() == 0, service.tail()
    with serving(tmp_path, functions=functions, life=2) as service:
        client = service.client()
        listed = client.list_event_source_mappings()["EventSourceMappings"]
        states = {each["UUID"]: (each["State"], each["BatchSize"]) for each in listed}
        assert states == {ids["my-function"]: ("Enabled", 7), ids["other"]: ("Disabled", 7)}
        arn = listed[0]["EventSourceMappingArn"]
        assert client.list_tags(Resource=arn)["Tags"] == {"team": "my-function"}
        put_embedded(tmp_path, range(100, 150))
        _until_seen(service, 150)
        assert service.stop() == 0, service.tail()
    lines = observer.read_journal(service.journal)
    observer.check_repeats(lines, {}, "my-function")
    assert observer.handled(lines, "other") <= set(range(100))


def test_a_mapping_made_anew_begins_at_its_own_position(tmp_path: Path) -> None:
    with serving(tmp_path, functions={"my-function": {}}, streams={"orders": 2}) as service:
        client, owner, deleted = service.client(), Client(tmp_path / "state"), list[str]()
        for times, position in enumerate(("TRIM_HORIZON", "TRIM_HORIZON", "LATEST"), start=1):
            uuid = client.create_event_source_mapping(
                EventSourceArn="arn:aws:penstock:::stream/orders",
                FunctionName="my-function",
                StartingPosition=position,
            )["UUID"]
            service.until_state(client, uuid, "Enabled")
            if times == 1:
                put_embedded(tmp_path, range(20))
            _until_calls(service, 20 * min(times, 2))
            if position == "LATEST":
                put_embedded(tmp_path, range(20, 25))
                _until_calls(service, 45)
            assert len(owner.checkpoints(uuid)["rows"]) == 2
            client.delete_event_source_mapping(UUID=uuid)
            service.until_gone(client, uuid)
            deleted.append(uuid)
        assert service.stop() == 0, service.tail()
    with open_state(tmp_path / "state") as opened:
        assert [opened.checkpoints(uuid)["rows"] for uuid in deleted] == [[], [], []]
    ended = [line.id for line in observer.read_journal(service.journal) if line.mark == "E"]
    assert sorted(ended) == sorted([*range(20), *range(25)])


@pytest.mark.parametrize("unknown", [{}, {"someone-else": {}}])
def test_a_mapping_outlives_its_function(tmp_path: Path, unknown: dict[str, Any]) -> None:
    with serving(tmp_path, functions={"my-function": {}}, streams={"orders": 1}) as service:
        client = service.client()
        uuid = client.create_event_source_mapping(
            EventSourceArn="arn:aws:penstock:::stream/orders",
            FunctionName="my-function",
            StartingPosition="TRIM_HORIZON",
        )["UUID"]
        service.until_state(client, uuid, "Enabled")
        assert service.stop() == 0, service.tail()
    with serving(tmp_path, functions=unknown or {"x": {}}, life=2) as service:
        client = service.client()
        found = service.until_state(client, uuid, "Enabled")
        deadline = time.monotonic() + 60
        while not found["LastProcessingResult"].startswith("PROBLEM: "):
            assert time.monotonic() < deadline, found
            found = client.get_event_source_mapping(UUID=uuid)
        assert "my-function" in found["LastProcessingResult"]
        assert service.stop() == 0, service.tail()
    with serving(tmp_path, functions={"my-function": {}}, life=3) as service:
        put_embedded(tmp_path, range(10))
        _until_seen(service, 10)
        assert service.stop() == 0, service.tail()


def _change(service: ApiService, client: Any, uuid: str, change: dict[str, Any]) -> None:
    client.update_event_source_mapping(UUID=uuid, **change)
    deadline = time.monotonic() + 60
    while (found := client.get_event_source_mapping(UUID=uuid))["State"].endswith("ing"):
        assert time.monotonic() < deadline, f"{found}\n{service.tail()}"
        time.sleep(0.02)


def _retried(change: Callable[..., Any], **request: Any) -> None:
    """Change what may be in between two states: wait as long as it is in use."""
    deadline = time.monotonic() + 60
    while True:
        try:
            change(**request)
            return
        except ClientError as error:
            busy = error.response["Error"]["Code"] == "ResourceInUseException"
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _waited(client: Any, uuid: str, pending: set[str]) -> dict[str, Any]:
    """Look until it is at rest; only those states may be seen before."""
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, Any] = client.get_event_source_mapping(UUID=uuid)
        if found["State"] in {"Enabled", "Disabled"}:
            return found
        assert found["State"] in pending, found
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def put_embedded(home: Path, numbers: range) -> None:
    """Put records into the embedded stream by way of the service that owns it."""
    streams = Streams(Client(home / "state").streams)
    keys = [f"key-{n % 10}" for n in numbers]
    records = [
        (key, json.dumps({"id": n, "key": key, "n": n // 10}))
        for key, n in zip(keys, numbers, strict=True)
    ]
    streams.put("orders", records)


def _until_calls(service: ApiService, records: int) -> None:
    """Wait until handlers have ended for so many records, each as often as it came."""
    deadline = time.monotonic() + 60
    while sum(line.mark == "E" for line in observer.read_journal(service.journal)) < records:
        assert time.monotonic() < deadline, service.tail()
        time.sleep(0.05)


def _until_seen(service: ApiService, count: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        lines = observer.read_journal(service.journal)
        if len(observer.handled(lines, "my-function")) >= count:
            return
        assert time.monotonic() < deadline, service.tail()
        time.sleep(0.05)


def _until_all(service: ApiService, producer: harness.Producer) -> None:
    wanted = {put.id for put in producer.puts}
    deadline = time.monotonic() + 90
    while True:
        lost = wanted - observer.handled(observer.read_journal(service.journal), "my-function")
        if not lost:
            return
        assert time.monotonic() < deadline, f"{len(lost)} are not handled\n{service.tail()}"
        time.sleep(0.2)
