"""Starts, kills and restarts the service under test, and puts records with boto3."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.python.integration.observer import Line, Put, handled, read_journal
from tests.services.environment import clean_environment

ROOT = Path(__file__).resolve().parents[3]
ENDS_WITHIN_S = 60.0


@dataclass(slots=True)
class Service:
    """A service with its state, its journal and its lives."""

    home: Path
    plan: dict[str, Any]
    life: int = 0
    kills: dict[int, float] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def log(self) -> Path:
        return self.home / f"log-{self.life}"

    def start(self, **changes: Any) -> None:
        """Begin a new life."""
        assert self._process is None, "the service runs already"
        self.life += 1
        plan = self.plan | changes
        plan |= {"state": str(self.state), "journal": str(self.journal), "life": self.life}
        path = self.home / f"plan-{self.life}.json"
        path.write_text(json.dumps(plan))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.python.integration.service", str(path)],
                cwd=ROOT,
                env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def until_started(self) -> None:
        """Wait until this life has told its plan: from there on signals are heard."""
        self.until(lambda: "warning[PS80" in self.tail(1_000), "the plan is told")

    def kill(self) -> None:
        """End this life as a power cut would."""
        process = self._running()
        os.kill(process.pid, signal.SIGKILL)
        self.kills[self.life] = time.time()
        process.wait(ENDS_WITHIN_S)
        self._process = None

    def terminate(self) -> int:
        """Ask for a drain; returns the exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout_s: float = ENDS_WITHIN_S) -> int:
        """Wait for the service to end by itself; returns the exit code."""
        process = self._running()
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait(10)
            raise AssertionError(
                f"the service did not end within {timeout_s} s:\n{self.tail()}"
            ) from None
        finally:
            self._process = None
        return code

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def lines(self) -> list[Line]:
        return read_journal(self.journal)

    def until_handled(self, puts: list[Put], mapping: str, timeout_s: float = 60.0) -> None:
        """Wait until every record was handled."""
        wanted = {put.id for put in puts}

        def done() -> bool:
            return wanted <= handled(self.lines(), mapping)

        self.until(done, f"all {len(wanted)} records of {mapping} are handled", timeout_s)

    def until_lines(self, *, more_than: int) -> None:
        """Wait until the handler has seen more than so many batches."""
        self.until(lambda: len(self.lines()) > more_than, "the first batch has begun")

    def until(self, done: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Wait for a condition while the service lives."""
        deadline = time.monotonic() + timeout_s
        while not done():
            assert self.alive(), f"the service has ended before {what}:\n{self.tail()}"
            assert time.monotonic() < deadline, (
                f"not within {timeout_s} s: {what}; "
                f"{len({line.id for line in self.lines() if line.mark == 'E'})} records handled"
                f"\n{self.tail()}"
            )
            time.sleep(0.05)

    def tail(self, lines: int = 40) -> str:
        """Give the last lines of the log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return "(no log)"

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the service does not run"
        return self._process


@contextmanager
def service(home: Path, **plan: Any) -> Iterator[Service]:
    """Give a service that is not running after the block, whatever happens in it."""
    made = Service(home=home, plan=plan)
    try:
        yield made
    finally:
        if made.alive():
            made.kill()


@dataclass(slots=True)
class Producer:
    """Puts numbered records of many keys, each key's in order."""

    client: Any
    stream: str
    keys: int = 50
    filler: str = ""
    puts: list[Put] = field(default_factory=list)
    _next: dict[str, int] = field(default_factory=dict)

    def put(self, records: int, batch: int = 500, poison: int | None = None) -> list[Put]:
        """Put so many more; the one at place `poison` cannot be handled."""
        new = []
        for start in range(0, records, batch):
            entries = []
            for place in range(start, min(start + batch, records)):
                record = self._record(bad=place == poison)
                new.append(record)
                body = {"id": record.id, "key": record.key, "n": record.n, "filler": self.filler}
                if place == poison:
                    body["poison"] = True
                entries.append({"Data": json.dumps(body).encode(), "PartitionKey": record.key})
            self._send(entries)
        return new

    def _record(self, *, bad: bool) -> Put:
        number = len(self.puts)
        key = f"key-{number * 7919 % self.keys}"
        n = self._next.get(key, 0)
        self._next[key] = n + 1
        put = Put(id=number, key=key, n=n)
        self.puts.append(put)
        return put

    def _send(self, entries: list[dict[str, Any]]) -> None:
        answer = self.client.put_records(StreamName=self.stream, Records=entries)
        assert answer["FailedRecordCount"] == 0, "the producer was refused: order cannot be kept"


def until(done: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def until_idle(engine: Any, timeout_s: float = 60.0) -> None:
    """Wait until everything that was put is read, settled and saved."""
    deadline = time.monotonic() + timeout_s
    while not all(mapping["idle"] for mapping in engine.snapshot()["mappings"]):
        assert time.monotonic() < deadline, f"not idle within {timeout_s} s: {engine.snapshot()}"
        time.sleep(0.05)


def create_stream(client: Any, name: str, shards: int) -> None:
    """Create a stream and wait until it is active."""
    client.create_stream(StreamName=name, ShardCount=shards)
    until_active(client, name)


def until_active(client: Any, name: str) -> None:
    """Wait for the end of a change."""
    deadline = time.monotonic() + 60
    while True:
        summary = client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        if summary["StreamStatus"] == "ACTIVE":
            return
        assert time.monotonic() < deadline, f"stream {name} stays {summary['StreamStatus']}"
        time.sleep(0.1)


def open_shards(client: Any, name: str) -> list[dict[str, Any]]:
    """List the shards that take records, by the start of their hash range."""
    shards = client.list_shards(StreamName=name)["Shards"]
    live = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
    return sorted(live, key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))


def split(client: Any, name: str, place: int = 0) -> None:
    """Split an open shard in the middle."""
    shard = open_shards(client, name)[place]
    span = shard["HashKeyRange"]
    middle = (int(span["StartingHashKey"]) + int(span["EndingHashKey"])) // 2
    client.split_shard(
        StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
    )
    until_active(client, name)


def merge(client: Any, name: str, place: int = 0) -> None:
    """Merge an open shard with its neighbour."""
    first, second = open_shards(client, name)[place : place + 2]
    client.merge_shards(
        StreamName=name, ShardToMerge=first["ShardId"], AdjacentShardToMerge=second["ShardId"]
    )
    until_active(client, name)
