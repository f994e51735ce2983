"""Drains the canned stream with a plain boto3 loop that builds the event itself.

`python -m benches.load.drain_boto3 URL RECORDS`: what a user would write without penstock. The
event is the same, cut at 6 MB of payload text as Lambda would.
"""

from __future__ import annotations

import base64
import sys
from typing import Any

from benches.load.meter import EVENT_BYTES, OVERHEAD_BYTES, Meter, emit
from benches.load.target_stream import REGION, ROLE, BenchStream


def build(record: dict[str, Any], shard: str, arn: str) -> dict[str, Any]:
    """Give Lambda's form of one record."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": base64.b64encode(record["Data"]).decode(),
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": ROLE,
        "awsRegion": REGION,
        "eventSourceARN": arn,
    }


def main() -> None:
    """Drain one shard, then print the meter."""
    stream = BenchStream.at(sys.argv[1])
    iterator = stream.iterator
    meter = Meter(int(sys.argv[2]))
    while not meter.done.is_set():
        answer = stream.client.get_records(ShardIterator=iterator, Limit=10_000)
        iterator = answer["NextShardIterator"]
        batch: list[dict[str, Any]] = []
        size = 0
        for record in answer["Records"]:
            built = build(record, stream.shard, stream.arn)
            size += len(built["kinesis"]["data"]) + OVERHEAD_BYTES
            if size > EVENT_BYTES:
                meter.take({"Records": batch})
                batch, size = [], len(built["kinesis"]["data"]) + OVERHEAD_BYTES
            batch.append(built)
        meter.take({"Records": batch})
    emit(meter.result())


if __name__ == "__main__":
    main()
