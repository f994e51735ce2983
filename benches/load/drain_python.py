"""Drains the canned stream with the best plain Python that we could write.

`python -m benches.load.drain_python URL RECORDS`: signed requests over http.client, orjson, dict
literals, base64 left as it came, the collector off while events are built. What an author who
measures gets to without native code of their own; retries and checkpoints are still missing.
"""

from __future__ import annotations

import gc
import http.client
import sys
from typing import Any
from urllib.parse import urlsplit

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from benches.load.meter import EVENT_BYTES, OVERHEAD_BYTES, Meter, emit
from benches.load.target_stream import REGION, ROLE, BenchStream


class Client:
    """Asks for records over one connection."""

    def __init__(self, url: str, credentials: Any) -> None:
        self._url = url
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._signer = SigV4Auth(credentials, "kinesis", REGION)

    def get_records(self, iterator: str) -> dict[str, Any]:
        """Give an answer as orjson reads it."""
        body = orjson.dumps({"ShardIterator": iterator, "Limit": 10_000})
        headers = {
            "X-Amz-Target": "Kinesis_20131202.GetRecords",
            "Content-Type": "application/x-amz-json-1.1",
        }
        request = AWSRequest("POST", self._url + "/", data=body, headers=headers)
        self._signer.add_auth(request)
        self._connection.request("POST", "/", body, dict(request.headers.items()))
        answer: dict[str, Any] = orjson.loads(self._connection.getresponse().read())
        return answer


def cut(records: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Cut an answer into what events hold."""
    cuts: list[list[dict[str, Any]]] = []
    start = size = 0
    for at, record in enumerate(records):
        bytes_of_record = len(record["Data"]) + OVERHEAD_BYTES
        size += bytes_of_record
        if size > EVENT_BYTES:
            cuts.append(records[start:at])
            start, size = at, bytes_of_record
    return [*cuts, records[start:]]


def build(records: list[dict[str, Any]], shard: str, arn: str) -> dict[str, Any]:
    """Give Lambda's event."""
    prefix = shard + ":"
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "data": record["Data"],
                    "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": prefix + record["SequenceNumber"],
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": ROLE,
                "awsRegion": REGION,
                "eventSourceARN": arn,
            }
            for record in records
        ]
    }


def main() -> None:
    """Drain one shard, then print the meter."""
    stream = BenchStream.at(sys.argv[1])
    client = Client(sys.argv[1], stream.client._request_signer._credentials)  # noqa: SLF001
    iterator = stream.iterator
    meter = Meter(int(sys.argv[2]))
    gc.freeze()
    while not meter.done.is_set():
        answer = client.get_records(iterator)
        iterator = answer["NextShardIterator"]
        gc.disable()
        for records in cut(answer["Records"]):
            meter.take(build(records, stream.shard, stream.arn))
        del answer, records
        gc.enable()
    emit(meter.result())


if __name__ == "__main__":
    main()
