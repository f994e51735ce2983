"""Drains the canned stream into KCL's Python half, standing for the daemon that feeds it.

`python -m benches.peers.drain_kcl URL RECORDS`. Only the Python half is measured: what the Java
daemon costs, and its own JSON, would come on top.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import IO, Any

from benches.load.meter import emit
from benches.load.target_stream import BenchStream

ANSWER = 10_000


def line(records: list[dict[str, Any]]) -> bytes:
    """Give a batch as the daemon writes it."""
    shown = [
        {
            "action": "record",
            "data": base64.b64encode(record["Data"]).decode(),
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "subSequenceNumber": 0,
            "approximateArrivalTimestamp": round(
                record["ApproximateArrivalTimestamp"].timestamp() * 1_000
            ),
        }
        for record in records
    ]
    message = {"action": "processRecords", "records": shown, "millisBehindLatest": 0}
    return json.dumps(message).encode() + b"\n"


def say(child: subprocess.Popen[bytes], text: bytes) -> bool:
    """Send a message and wait for its status; whether there is more to be said."""
    into, out = _pipes(child)
    into.write(text)
    into.flush()
    while answer := out.readline():
        if b'"status"' in answer:
            return True
    return False


def main() -> None:
    """Feed the Python half, then print its meter."""
    stream = BenchStream.at(sys.argv[1])
    child = subprocess.Popen(
        [sys.executable, "-m", "benches.peers.kcl_processor", sys.argv[2]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        begin = {"action": "initialize", "shardId": stream.shard, "sequenceNumber": "TRIM_HORIZON"}
        more = say(child, json.dumps(begin | {"subSequenceNumber": 0}).encode() + b"\n")
        iterator = stream.iterator
        while more:
            answer = stream.client.get_records(ShardIterator=iterator, Limit=ANSWER)
            iterator = answer["NextShardIterator"]
            more = say(child, line(answer["Records"]))
        said = child.stderr.read() if child.stderr else b""
    emit(json.loads(said.splitlines()[-1]))


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if child.stdin is None or child.stdout is None:
        raise SystemExit("the Python half has no pipes")
    return child.stdin, child.stdout


if __name__ == "__main__":
    main()
