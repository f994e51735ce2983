"""The canned stream of benches: full from the start, read by anyone, drawn by the raw client."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.services.wire import WireServer, servers_binary, wire_server
from tests.wire.kit import Stream


@pytest.fixture(scope="module")
def canned() -> Iterator[WireServer]:
    with wire_server("--canned", "25000x100", "--shards", "2", "--exponent") as made:
        yield made


def test_a_canned_stream_is_read_like_any_other(canned: WireServer) -> None:
    with closing(canned.client()) as client:
        bench = Stream(client=client, name="bench")
        for shard in bench.ids():
            pages: list[dict[str, Any]] = []
            token = bench.iterator(shard)
            while not pages or pages[-1]["Records"]:
                pages.append(client.get_records(ShardIterator=token))
                token = pages[-1]["NextShardIterator"]
            assert [len(page["Records"]) for page in pages] == [10_000, 10_000, 5_000, 0]
            assert [page["MillisBehindLatest"] > 0 for page in pages] == [True, True, False, False]
            records = [record for page in pages for record in page["Records"]]
            numbers = [record["SequenceNumber"] for record in records]
            assert numbers == sorted(set(numbers))
            assert {len(record["Data"]) for record in records} == {100}
            times = [record["ApproximateArrivalTimestamp"] for record in records]
            assert times == sorted(times)


def test_the_raw_client_draws_all_of_it(canned: WireServer) -> None:
    command = [str(servers_binary()), "draw", "--port", str(canned.port)]
    drawn = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert drawn["records"] == 50_000
    assert drawn["pages"] == 8
    assert drawn["records_per_second"] > 0
