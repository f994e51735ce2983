"""Tests that documents are checked where they cross, each refusal with its path."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock import _bridge
from penstock.errors import ConfigurationError, DestinationError, PenstockError, SourceError
from tests.python.boundary.bench import (
    MAPPING,
    ask,
    document,
    filled,
    mapping_document,
    runtime,
    take,
)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"state_directory": "/tmp"}, "state_directory"),
        ({"clock": "sundial"}, "clock"),
        ({"seed": -1}, "seed"),
        ({"seed": "7"}, "seed"),
        ({"workers": {"threads": "many"}}, "workers"),
        ({"workers": [1]}, "workers"),
        ({"log_level": "loud"}, "log_level"),
        ({"stream_retention_s": 1.5}, "stream_retention_s"),
    ],
)
def test_a_runtimes_document_is_checked(members: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _bridge.Runtime(document(**members))
    assert caught.value.path == path
    assert caught.value.code == "PS100"


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"null", b'{"a": 1} {}'])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with runtime() as engine:
        for call in (_bridge.Runtime, _bridge.normalize, engine.add_mapping, engine.streams):
            with pytest.raises(ConfigurationError):
                call(text)
        with pytest.raises(ConfigurationError):
            engine.push_access(text)


def test_a_mappings_document_is_checked_with_its_path() -> None:
    with runtime() as engine:
        ask(engine, op="create", name="orders", shards=1)
        with pytest.raises(ConfigurationError) as caught:
            engine.add_mapping(mapping_document(BatchSize=0))
        assert caught.value.path == "BatchSize"
        with pytest.raises(ConfigurationError) as caught:
            engine.add_mapping(mapping_document(Penstock={"Pol": "x"}))
        assert caught.value.path == "Penstock.Pol"
        assert "Penstock.Pool" in str(caught.value) or "Pool" in str(caught.value)


def test_a_stream_that_does_not_exist_is_named() -> None:
    with runtime() as engine, pytest.raises(SourceError) as caught:
        engine.add_mapping(mapping_document("nothing"))
    assert caught.value.code == "PS203"
    assert "nothing" in str(caught.value)


def test_kinesis_needs_an_access() -> None:
    arn = "arn:aws:kinesis:us-east-2:123456789012:stream/orders"
    own = {"Source": arn}
    with runtime() as engine, pytest.raises(ConfigurationError) as caught:
        engine.add_mapping(mapping_document(EventSourceArn=arn, Penstock=own))
    assert caught.value.path == "Penstock.Access"


def test_destinations_that_cannot_be_served_are_refused_by_name() -> None:
    queue = "arn:aws:sqs:us-east-2:123456789012:dead-letters.fifo"
    with runtime() as engine:
        ask(engine, op="create", name="orders", shards=1)
        with pytest.raises(ConfigurationError, match=queue):
            engine.add_mapping(
                mapping_document(DestinationConfig={"OnFailure": {"Destination": queue}})
            )


@pytest.mark.parametrize(
    ("command", "error", "code"),
    [
        ({"op": "dance"}, ConfigurationError, "PS100"),
        ({}, ConfigurationError, "PS100"),
        ({"op": "list", "name": "x"}, ConfigurationError, "PS100"),
        ({"op": "create", "name": "a b", "shards": 1}, ConfigurationError, "PS210"),
        ({"op": "create", "name": "a", "shards": 0}, ConfigurationError, "PS210"),
        ({"op": "create", "name": "a"}, ConfigurationError, "PS100"),
        ({"op": "describe", "name": "nothing"}, SourceError, "PS203"),
        ({"op": "delete", "name": "nothing"}, SourceError, "PS203"),
        ({"op": "put", "name": "orders", "records": [{}]}, ConfigurationError, "PS100"),
        (
            {"op": "put", "name": "orders", "records": [{"key": "a", "data": "?"}]},
            ConfigurationError,
            "PS100",
        ),
        ({"op": "split", "name": "orders", "shard": "shardId-9"}, SourceError, "PS212"),
        ({"op": "create", "name": "orders", "shards": 1}, SourceError, "PS211"),
    ],
)
def test_commands_are_checked(command: dict[str, Any], error: type[Exception], code: str) -> None:
    with runtime() as engine:
        ask(engine, op="create", name="orders", shards=1)
        with pytest.raises(error) as caught:
            ask(engine, **command)
        assert isinstance(caught.value, PenstockError)
        assert caught.value.code == code


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    place = f"file:{tmp_path}/nowhere/failures.jsonl"
    with runtime() as engine:
        ask(engine, op="create", name="orders", shards=1)
        with pytest.raises(DestinationError, match="nowhere") as caught:
            engine.add_mapping(
                mapping_document(DestinationConfig={"OnFailure": {"Destination": place}})
            )
    assert caught.value.code == "PS400"


def test_an_update_cannot_change_what_is_read() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")])
        ask(engine, op="create", name="others", shards=1)
        with pytest.raises(ConfigurationError, match="orders") as caught:
            engine.update_mapping(MAPPING, mapping_document("others"))
        assert caught.value.path == "EventSourceArn"
        assert take(engine).record_count == 1


def test_a_mapping_that_is_not_enabled_waits() -> None:
    with runtime() as engine:
        filled(engine, [("a", b"1")], Enabled=False)
        assert engine.next_invocation("threads", 0, 0.3) is None
        [shown] = json.loads(engine.snapshot())["mappings"]
        assert shown["state"] == "paused"
        engine.update_mapping(MAPPING, mapping_document())
        assert take(engine).record_count == 1
        engine.update_mapping(MAPPING, mapping_document(Enabled=False))
        [shown] = json.loads(engine.snapshot())["mappings"]
        assert shown["state"] == "paused"
