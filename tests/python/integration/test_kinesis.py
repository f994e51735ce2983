"""Records go from a Kinesis endpoint to a handler while the stream is split and merged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.python.integration import harness, observer
from tests.services import kinesis
from tests.services.wire import wire_server

OPTIONS = {"batch_size": 500, "starting_position": "TRIM_HORIZON"}


@pytest.fixture(params=["ours", "kinesalite"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Any]:
    server = wire_server if request.param == "ours" else kinesis.kinesalite
    with server() as running:
        yield running


def test_nothing_is_lost_through_a_split_and_a_merge(endpoint: Any, tmp_path: Path) -> None:
    client = endpoint.client(retries=3)
    harness.create_stream(client, "orders", 4)
    producer = harness.Producer(client, "orders", keys=200)
    mappings = {
        "whole": {"source": "kinesis:orders", "options": OPTIONS},
        "lanes": {
            "source": "kinesis:orders",
            "options": OPTIONS | {"parallelization_factor": 4},
        },
    }
    with harness.service(tmp_path, endpoint=endpoint.url, mappings=mappings) as service:
        producer.put(15_000)
        service.start()
        harness.split(client, "orders", 1)
        producer.put(20_000)
        harness.merge(client, "orders", 0)
        producer.put(15_000)
        for mapping in mappings:
            service.until_handled(producer.puts, mapping)
        assert service.terminate() == 0, service.tail()
        observer.check_all(service.journal, producer.puts, mappings)


def test_a_moment_is_where_a_first_start_begins(tmp_path: Path) -> None:
    with wire_server() as server:
        client = server.client()
        harness.create_stream(client, "orders", 2)
        producer = harness.Producer(client, "orders", keys=20)
        producer.put(100)
        harness.split(client, "orders", 0)
        before = len(producer.puts)
        # The split took longer than a millisecond, and so does the merge.
        moment = datetime.fromtimestamp(server.now_ms() / 1_000, UTC).isoformat()
        harness.merge(client, "orders", 1)
        producer.put(100)
        start = {"starting_position": "AT_TIMESTAMP", "starting_position_timestamp": moment}
        mappings = {"later": {"source": "kinesis:orders", "options": OPTIONS | start}}
        plan: dict[str, Any] = {"mappings": mappings, "until": "idle"}
        with harness.service(tmp_path, endpoint=server.url, **plan) as service:
            for _ in range(2):
                service.start()
                assert service.wait() == 0, service.tail()
            later = producer.puts[before:]
            observer.check_all(service.journal, later, mappings)
            assert observer.handled(service.lines(), "later") == {put.id for put in later}


def test_kinesis_local_names_children_and_ends_shards_with_their_last_records(
    tmp_path: Path,
) -> None:
    with kinesis.kinesis_local() as endpoint:
        client = endpoint.client(retries=3)
        harness.create_stream(client, "orders", 2)
        producer = harness.Producer(client, "orders", keys=20)
        mappings = {"all": {"source": "kinesis:orders", "options": OPTIONS}}
        with harness.service(tmp_path, endpoint=endpoint.url, mappings=mappings) as service:
            producer.put(80, batch=20)
            service.start()
            harness.split(client, "orders", 0)
            producer.put(60, batch=20)
            harness.merge(client, "orders", 1)
            producer.put(60, batch=20)
            service.until_handled(producer.puts, "all")
            assert service.terminate() == 0, service.tail()
            observer.check_all(service.journal, producer.puts, mappings)
