"""Reads the events of the canned stream with `json.loads`, as Lambda's runtime does.

`python -m benches.load.drain_loads URL RECORDS`: only the loads are counted, not the fetch.
"""

from __future__ import annotations

import json
import sys

from benches.load.drain_boto3 import build
from benches.load.meter import emit, spent
from benches.load.target_stream import BenchStream

BATCH = 3_000


def main() -> None:
    """Load one event over and over, then print what a record of it cost."""
    stream = BenchStream.at(sys.argv[1])
    answer = stream.client.get_records(ShardIterator=stream.iterator, Limit=BATCH)
    records = [build(record, stream.shard, stream.arn) for record in answer["Records"]]
    text = json.dumps({"Records": records}, separators=(",", ":"))
    times = max(4, int(sys.argv[2]) // len(records) // 4)
    json.loads(text)
    before = spent()
    for _ in range(times):
        json.loads(text)
    cpu, wall, _ = (after - first for after, first in zip(spent(), before, strict=True))
    counted = times * len(records)
    emit({"records": counted, "cpu_us": cpu / counted / 1e3, "wall_us": wall / counted / 1e3})


if __name__ == "__main__":
    main()
