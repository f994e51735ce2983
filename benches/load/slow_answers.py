"""Serves a stream whose answers come late, and notes when the last byte of each was on its way.

`python -m benches.load.slow_answers` prints its port as JSON, and serves until its input ends. Each
read is answered after a pause with the same 100 records of 1 KB; their partition key tells which
answer it was. `GET /sent` gives the moments by that key, in nanoseconds of the monotonic clock.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RECORDS = 100
SIZE = 1_024
SHARDS = 4
PAUSE_S = (0.02, 0.06)
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/bench"
_DATA = base64.b64encode(b"x" * SIZE).decode()

sent: dict[str, int] = {}
_numbers = itertools.count(1)
_one = threading.Lock()


class Stream(BaseHTTPRequestHandler):
    """Answers the calls that a reader of one stream makes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Tell when answers were sent."""
        self._answer(sent)

    def do_POST(self) -> None:
        """Carry out one operation."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        if operation == "GetRecords":
            time.sleep(random.uniform(*PAUSE_S))
            # One at a time, so that no other answer is made between a moment and its last byte.
            with _one:
                key = f"answer-{next(_numbers)}"
                self._answer(self._page(key, asked["ShardIterator"]), key)
        else:
            self._answer(_DESCRIBED[operation](asked))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """Say nothing."""

    def _page(self, key: str, shard: str) -> dict[str, Any]:
        now = round(time.time(), 3)
        records = [
            {
                "ApproximateArrivalTimestamp": now,
                "Data": _DATA,
                "PartitionKey": key,
                "SequenceNumber": f"4959033827149025660855969{next(_numbers):030}",
            }
            for _ in range(RECORDS)
        ]
        return {"MillisBehindLatest": 0, "NextShardIterator": shard, "Records": records}

    def _answer(self, document: object, key: str | None = None) -> None:
        body = json.dumps(document, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:-1])
        if key is not None:
            sent[key] = time.monotonic_ns()
        self.wfile.write(body[-1:])


def _shards() -> list[dict[str, Any]]:
    whole = {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}
    return [
        {
            "ShardId": f"shardId-{number:012}",
            "HashKeyRange": whole,
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        }
        for number in range(SHARDS)
    ]


_SUMMARY = {
    "StreamName": "bench",
    "StreamARN": ARN,
    "StreamStatus": "ACTIVE",
    "RetentionPeriodHours": 24,
    "StreamCreationTimestamp": 1_700_000_000.0,
    "EnhancedMonitoring": [],
    "OpenShardCount": SHARDS,
    "ConsumerCount": 0,
}
_DESCRIBED: dict[str, Callable[[dict[str, Any]], object]] = {
    "DescribeStreamSummary": lambda _: {"StreamDescriptionSummary": _SUMMARY},
    "ListShards": lambda _: {"Shards": _shards()},
    "GetShardIterator": lambda asked: {"ShardIterator": asked["ShardId"]},
}


def main() -> None:
    """Serve until nobody wants it any more."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps({"port": server.server_port}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
