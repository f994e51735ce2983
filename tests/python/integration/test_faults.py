"""Each fault of the wire server, one scenario each, while 20,000 records flow.

Of each it is asked that nothing is lost and no order broken, that the number of calls a second
stays bounded, and that records flow again within ten seconds of the fault's end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.python.integration import harness, observer
from tests.services.wire import EVERYTHING, READS, Scope, WireServer, error, wire_server

RECORDS = 20_000
SHARDS = 4
FAULT_S = 1.5
RECOVERS_WITHIN_S = 10.0
# Reads of a shard, or calls of another kind, in the busiest second of a fault.
CALLS_A_SECOND = 25

Order = Callable[[WireServer], object]
LISTINGS = Scope(operation="ListShards")
FOR_MS = int(FAULT_S * 1_000)

FAULTS: dict[str, Order] = {
    "throttled": lambda server: server.throttle(for_ms=FOR_MS),
    "real_limits": lambda server: server.limit_reads(),
    "iterators_expire": lambda server: server.expire_iterators(),
    "expired_by_the_clock": lambda server: server.advance(6 * 60 * 1_000),
    "every_iterator_is_stale": lambda server: server.fault(
        error(400, "ExpiredIteratorException", "Iterator expired."), READS, for_ms=FOR_MS
    ),
    "slow": lambda server: server.slow(700, for_ms=FOR_MS),
    "reset_in_the_body": lambda server: server.reset_connection(500, for_ms=FOR_MS),
    "truncated": lambda server: server.truncate(500, for_ms=FOR_MS),
    "broken_json": lambda server: server.garbage("broken", for_ms=FOR_MS),
    "html": lambda server: server.garbage("not_json", for_ms=FOR_MS),
    "no_body": lambda server: server.garbage("nothing", for_ms=FOR_MS),
    "unknown_fields": lambda server: server.garbage("unknown_fields", for_ms=FOR_MS),
    "needless_escapes": lambda server: server.garbage("escapes", for_ms=FOR_MS),
    "internal_failure": lambda server: server.internal_failure(for_ms=FOR_MS),
    "unavailable": lambda server: server.unavailable(for_ms=FOR_MS),
    "denied": lambda server: server.deny_access(READS, for_ms=FOR_MS),
    "empty_with_data_behind": lambda server: server.empty(for_ms=FOR_MS),
    "listing_fails": lambda server: server.internal_failure(
        Scope(operation="ListShards"), for_ms=FOR_MS
    ),
    "everything_throttled": lambda server: server.throttle(EVERYTHING, for_ms=FOR_MS),
}


# One of each kind; the others, which take as long, run in the slow tier.
QUICK = (
    "throttled", "iterators_expire", "reset_in_the_body", "broken_json", "unavailable", "denied",
    "everything_throttled",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else (pytest.mark.slow,)) for name in FAULTS],
)
def test_a_fault_loses_nothing_and_passes(name: str, tmp_path: Path) -> None:
    with wire_server() as server:
        client = server.client(retries=5)
        harness.create_stream(client, "orders", SHARDS)
        producer = harness.Producer(client, "orders", keys=100)
        options = {
            "batch_size": 200,
            "parallelization_factor": 2,
            "starting_position": "TRIM_HORIZON",
        }
        mappings = {"all": {"source": "kinesis:orders", "options": options}}
        with harness.service(tmp_path, endpoint=server.url, mappings=mappings) as service:
            producer.put(RECORDS // 2)
            service.start()
            service.until(lambda: len(service.lines()) > 0, "records flow")
            server.reset_stats()
            FAULTS[name](server)
            if name != "everything_throttled":
                producer.put(RECORDS // 2)
                time.sleep(FAULT_S)
            else:
                time.sleep(FAULT_S)
                producer.put(RECORDS // 2)
            ended = time.monotonic()
            service.until_handled(producer.puts, "all", 60)
            recovered = time.monotonic() - ended
            assert recovered < RECOVERS_WITHIN_S, f"recovery took {recovered:.1f} s"
            assert service.terminate() == 0, service.tail()
            observer.check_all(service.journal, producer.puts, mappings)
        assert server.busiest_second("GetRecords") <= CALLS_A_SECOND
        assert server.busiest_second("GetShardIterator") <= CALLS_A_SECOND
        assert server.busiest_second("ListShards") <= CALLS_A_SECOND


def test_an_expired_token_is_renewed_without_a_failed_batch(tmp_path: Path) -> None:
    with wire_server() as server:
        client = server.client(retries=5, access_key="AKIAPRODUCERS")
        harness.create_stream(client, "orders", SHARDS)
        producer = harness.Producer(client, "orders", keys=100)
        options = {"batch_size": 200, "starting_position": "TRIM_HORIZON"}
        mappings = {"all": {"source": "kinesis:orders", "options": options}}
        with harness.service(tmp_path, endpoint=server.url, mappings=mappings) as service:
            producer.put(RECORDS // 2)
            service.start()
            service.until(lambda: len(service.lines()) > 0, "records flow")
            server.expire_token(for_ms=FOR_MS)
            producer.put(RECORDS // 2)
            service.until_handled(producer.puts, "all", 60)
            assert service.terminate() == 0, service.tail()
            observer.check_all(service.journal, producer.puts, mappings)


def test_a_skewed_clock_is_corrected(tmp_path: Path) -> None:
    with wire_server() as server:
        client = server.client(retries=5)
        harness.create_stream(client, "orders", SHARDS)
        producer = harness.Producer(client, "orders", keys=100)
        producer.put(RECORDS)
        options = {"batch_size": 200, "starting_position": "TRIM_HORIZON"}
        mappings = {"all": {"source": "kinesis:orders", "options": options}}
        with harness.service(tmp_path, endpoint=server.url, mappings=mappings) as service:
            service.start()
            service.until(lambda: len(service.lines()) > 0, "records flow")
            server.skew(20 * 60 * 1_000)
            service.until_handled(producer.puts, "all", 60)
            assert service.terminate() == 0, service.tail()
            observer.check_all(service.journal, producer.puts, mappings)


def test_trimmed_records_are_announced_and_the_rest_is_handled(tmp_path: Path) -> None:
    with wire_server() as server:
        client = server.client()
        harness.create_stream(client, "orders", 1)
        producer = harness.Producer(client, "orders", keys=10)
        options = {"batch_size": 100, "starting_position": "TRIM_HORIZON"}
        mappings = {"all": {"source": "kinesis:orders", "options": options}}
        with harness.service(tmp_path, endpoint=server.url, mappings=mappings) as service:
            first = producer.put(1_000)
            service.start()
            service.until_handled(first, "all")
            assert service.terminate() == 0, service.tail()
            producer.put(1_000)
            shard = client.list_shards(StreamName="orders")["Shards"][0]["ShardId"]
            assert server.trim("orders", shard) == 2_000
            last = producer.put(1_000)
            service.start()
            service.until_handled(last, "all")
            assert service.terminate() == 0, service.tail()
            observer.check_order(service.lines(), "all")
            observer.check_nothing_lost(service.lines(), first + last, "all")
