"""Measures a producer ten times faster than the handler, and what comes after it has stopped.

`python -m benches.load.overload [SECONDS]` prints a table: memory while records pile up in the
stream, and how fast they are worked off afterwards, beside the best that was seen before. The
producer is the parent; the reader is a process of its own, with a handler that waits.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import penstock
from benches.load import rounds, rows
from benches.load.idle import resident_kib
from benches.load.meter import emit
from benches.load.rounds import Result
from benches.load.rows import Row
from tests.services import kinesis
from tests.services.environment import REGION, clean_environment
from tests.services.process import running

SECONDS = 4
SIZE = 1_024
SHARDS = 1
BATCH = 100
WAIT_S = 0.1
# One batch of a shard at a time is what the handler can do; the producer puts so many times that.
CAPACITY = SHARDS * BATCH / WAIT_S
TIMES = 10
CALL = 500
# promises: 64 KiB a shard, and for each batch that runs its event in all its forms.
BOUND_KIB = SHARDS * 64 + SHARDS * 6 * 1_024 * 2.5

ROWS = (
    Row(
        name="memory above the idle process, of what is promised",
        of=lambda one: (one["run"]["peak_kib"] - one["run"]["idle_kib"]) / BOUND_KIB,
        most=1,
    ),
    Row(
        name="records a second after the producer, of the best second before",
        of=lambda one: one["run"]["after"] / one["run"]["best"],
        least=0.95,
    ),
    Row(
        name="put, of what the handlers can take",
        of=lambda one: one["put"]["rate"] / CAPACITY,
        least=TIMES * 0.9,
    ),
)


def read(url: str, records: int) -> Result:
    """Work a stream off; the first line of input says that the producer has stopped."""
    came: list[tuple[float, int]] = []
    stopped: list[float] = []
    left = records
    done = threading.Event()
    with tempfile.TemporaryDirectory() as state:
        app = penstock.App(state=state, endpoint=url, region=REGION, silence=["PS801"])

        @app.on("kinesis:orders", batch_size=BATCH, starting_position="TRIM_HORIZON")
        def handler(event: dict[str, Any], _context: Any) -> None:
            nonlocal left
            time.sleep(WAIT_S)
            came.append((time.monotonic(), len(event["Records"])))
            left -= len(event["Records"])
            if left <= 0:
                done.set()

        def hear() -> None:
            sys.stdin.readline()
            stopped.append(time.monotonic())

        with app.background():
            time.sleep(2)
            idle = resident_kib()
            emit({"ready": True})
            sys.stdout.flush()
            threading.Thread(target=hear, daemon=True).start()
            peak = idle
            until = time.monotonic() + 60 + 2 * records / CAPACITY
            while not done.wait(0.02):
                peak = max(peak, resident_kib())
                if time.monotonic() > until:
                    raise SystemExit(f"{left} of {records} records did not come")
    return {"idle_kib": idle, "peak_kib": peak, **_rates(came, stopped[0])}


def _rates(came: list[tuple[float, int]], stopped: float) -> dict[str, float]:
    """Give records a second after the producer has stopped, and the best second before."""
    before = [(at, count) for at, count in came if at <= stopped]
    after = [(at, count) for at, count in came if at > stopped]
    seconds = int(stopped - before[0][0])
    best = max(
        sum(count for at, count in before if start < at - before[0][0] <= start + 1)
        for start in range(seconds)
    )
    rest = sum(count for _, count in after[1:])
    return {"best": float(best), "after": rest / (after[-1][0] - after[0][0])}


def measure(seconds: int) -> dict[str, Result]:
    """Put for so many seconds, then wait until everything was handled."""
    records = int(CAPACITY * TIMES) * seconds
    program = str(rounds.target() / "release" / "penstock-servers")
    with running("penstock-servers", [program, "kinesis"]) as server:
        port = server.fact(lambda fact: "port" in fact)["port"]
        url = f"http://127.0.0.1:{port}"
        client = kinesis.client(url)
        client.create_stream(StreamName="orders", ShardCount=SHARDS)
        client.get_waiter("stream_exists").wait(
            StreamName="orders", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
        reader = subprocess.Popen(
            [sys.executable, "-m", "benches.load.overload", url, str(records)],
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with reader:
            if reader.stdin is None or reader.stdout is None:
                raise SystemExit("the reader has no pipes")
            reader.stdout.readline()
            rate = _put(client, records)
            reader.stdin.write("stopped\n")
            reader.stdin.flush()
            found = json.loads(reader.stdout.readline() or "{}")
        if reader.returncode:
            raise SystemExit("the reader failed")
    return {"run": found, "put": {"rate": rate}}


def _put(client: Any, records: int) -> float:
    """Put records at the rate that is wanted, or as fast as can be; give the rate."""
    data = b"x" * SIZE
    began = time.monotonic()
    for place in range(0, records, CALL):
        time.sleep(max(0, began + place / (CAPACITY * TIMES) - time.monotonic()))
        entries = [{"Data": data, "PartitionKey": f"k{n}"} for n in range(place, place + CALL)]
        answer = client.put_records(StreamName="orders", Records=entries)
        if answer["FailedRecordCount"]:
            raise SystemExit("the server refused records")
    return records / (time.monotonic() - began)


def table(seconds: int = SECONDS) -> str:
    """Give the lines in Markdown."""
    return rows.table([measure(seconds)], ROWS)


def main() -> None:
    """Print the table, or what the reader has found."""
    if len(sys.argv) > 2:
        emit(read(sys.argv[1], int(sys.argv[2])))
    else:
        sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS) + "\n")


if __name__ == "__main__":
    main()
