"""Stands in for the extension's runtime: streams in memory, one batch after the other.

Rules: only what the Python layer relies on is imitated, in the simplest way that is true: a batch
that fails is tried again at once, and dropped when its retries are used up.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from penstock.errors import MappingConflict, RuntimeClosed, SourceError

COUNTERS = (
    "polled", "invoked", "failed", "invocations", "failed_invocations", "retries", "bisections",
    "gaps", "filtered", "succeeded", "dropped", "delivered", "awaiting_delivery", "buffered",
    "in_flight", "abandoned",
)  # fmt: skip


class FakeInvocation:
    """One call to make."""

    def __init__(self, mapping: FakeMapping, number: int, records: list[dict[str, Any]]) -> None:
        self.id = number
        self.mapping = mapping.id
        self.handler = mapping.document["Penstock"]["Handler"]
        self.attempt = mapping.attempts + 1
        self.request_id = f"00000000-0000-4000-8000-{number:012d}"
        self.shard = "shardId-000000000000"
        self.lane = 0
        self.fence = 1
        self.record_count = len(records)
        self._records = records
        timeout_ms = mapping.document["Penstock"].get("FunctionTimeoutMs", 60_000)
        self._deadline = time.monotonic() + timeout_ms / 1000

    @property
    def remaining_ms(self) -> int:
        return int((self._deadline - time.monotonic()) * 1000)

    def event(self) -> dict[str, Any]:
        return {"Records": [self._record(record) for record in self._records]}

    def json(self) -> bytes:
        return json.dumps(self.event()).encode()

    def _record(self, record: dict[str, Any]) -> dict[str, Any]:
        kinesis = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["key"],
            "sequenceNumber": record["sequence_number"],
            "data": record["data"],
            "approximateArrivalTimestamp": 1545084650.987,
        }
        return {"kinesis": kinesis, "eventSource": "aws:kinesis"}


class FakeMapping:
    """One mapping of the fake."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.id: str = document["UUID"]
        self.document = document
        self.position = 0
        self.attempts = 0
        self.paused = not document.get("Enabled", True)
        self.running: FakeInvocation | None = None
        self.counters = dict.fromkeys(COUNTERS, 0)


class FakeRuntime:
    """Imitates `_penstock.Runtime`."""

    made: list[FakeRuntime] = []  # noqa: RUF012 -- emptied by the fixture that installs the fake

    def __init__(self, document: bytes) -> None:
        self.document = json.loads(document)
        if self.document["state_dir"] is not None:
            Path(self.document["state_dir"]).mkdir(parents=True, exist_ok=True)
        self.closed = False
        self.completed: list[tuple[Any, ...]] = []
        self.access: list[dict[str, Any]] = []
        self.errands: deque[tuple[int, str, bytes]] = deque()
        self.finished: list[tuple[int, str, bytes | None]] = []
        self.logs: list[tuple[float, str, str, str, dict[str, str]]] = []
        self.notices: list[tuple[str, str, str, str | None, str]] = []
        self.mappings: dict[str, FakeMapping] = {}
        self._draining = False
        self._streams: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._number = 0
        FakeRuntime.made.append(self)

    def add_mapping(self, document: bytes) -> str:
        mapping = FakeMapping(json.loads(document))
        if mapping.id in self.mappings:
            raise MappingConflict(f"there is a mapping {mapping.id} already")
        self.mappings[mapping.id] = mapping
        return mapping.id

    def update_mapping(self, mapping: str, document: bytes) -> None:
        self.mappings[mapping].document = json.loads(document)
        self.mappings[mapping].paused = not self.mappings[mapping].document.get("Enabled", True)

    def remove_mapping(self, mapping: str) -> None:
        del self.mappings[mapping]

    def pause(self, mapping: str) -> None:
        self.mappings[mapping].paused = True

    def resume(self, mapping: str) -> None:
        self.mappings[mapping].paused = False

    def keep_lanes(self, pool: str, slots: list[int]) -> None:
        self.kept_lanes = (pool, slots)

    def next_invocation(self, pool: str, slot: int, timeout: float) -> FakeInvocation | None:
        deadline = time.monotonic() + timeout
        while True:
            self._check()
            with self._lock:
                for mapping in self.mappings.values():
                    found = None if self._draining else self._take(mapping, pool)
                    if found is not None:
                        return found
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.005)

    def complete(self, mapping: str, invocation: int, outcome: str, *rest: Any) -> None:
        self._check()
        with self._lock:
            self.completed.append((mapping, invocation, outcome, *rest))
            self._settle(self.mappings[mapping], outcome)

    def snapshot(self) -> bytes:
        self._check()
        with self._lock:
            mappings = [self._picture(mapping) for mapping in self.mappings.values()]
        return json.dumps({"mappings": mappings, "buffered_bytes": 0}).encode()

    def drain_notices(self, limit: int) -> list[tuple[str, str, str, str | None, str]]:
        found, self.notices = self.notices[:limit], self.notices[limit:]
        return found

    def drain_logs(self, limit: int) -> list[tuple[float, str, str, str, dict[str, str]]]:
        found, self.logs = self.logs[:limit], self.logs[limit:]
        return found

    def next_errand(
        self, timeout: float, kinds: list[str] | None = None
    ) -> tuple[int, str, bytes] | None:
        self._check()
        with self._lock:
            for errand in self.errands:
                if kinds is None or errand[1] in kinds:
                    self.errands.remove(errand)
                    return errand
        time.sleep(min(timeout, 0.02))
        return None

    def finish_errand(self, errand: int, outcome: str, detail: bytes | None = None) -> None:
        self.finished.append((errand, outcome, detail))

    def push_access(self, document: bytes) -> None:
        self.access.append(json.loads(document))

    def streams(self, document: bytes) -> bytes:
        self._check()
        command = json.loads(document)
        op, name = command["op"], command.get("name")
        if op == "list":
            listed = [self._described(each) for each in self._streams]
            return json.dumps({"streams": listed}).encode()
        if op == "create":
            self._streams[name] = []
            return b"{}"
        if name not in self._streams:
            raise SourceError(f"there is no stream {name}", code="PS203")
        if op == "describe":
            return json.dumps(self._described(name)).encode()
        if op == "delete":
            del self._streams[name]
            return b"{}"
        if op == "put":
            return json.dumps({"records": self._put(name, command["records"])}).encode()
        records = self._streams[name][: command["limit"]]
        if command["after"] is not None:
            records = self._streams[name][int(command["after"]) + 1 :]
        return json.dumps({"records": records, "ended": False}).encode()

    def forget_checkpoints(self, mapping: str) -> None:
        assert mapping not in self.mappings, "what runs is not forgotten"

    def checkpoints(self, mapping: str) -> bytes:
        return b"[]"

    def drain(self, timeout: float) -> bool:
        self._draining = True
        deadline = time.monotonic() + timeout
        while any(mapping.running for mapping in self.mappings.values()):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def advance(self, milliseconds: int) -> None:
        self._check()

    def close(self, timeout: float) -> None:
        self.closed = True

    def _check(self) -> None:
        if self.closed:
            raise RuntimeClosed("the runtime is closed")

    def _source(self, mapping: FakeMapping) -> list[dict[str, Any]]:
        name = mapping.document["Penstock"]["Source"].removeprefix("stream:")
        return self._streams.get(name, [])

    def _take(self, mapping: FakeMapping, pool: str) -> FakeInvocation | None:
        if mapping.paused or mapping.running or mapping.document["Penstock"]["Pool"] != pool:
            return None
        size = mapping.document["BatchSize"]
        records = self._source(mapping)[mapping.position : mapping.position + size]
        if not records:
            return None
        self._number += 1
        mapping.running = FakeInvocation(mapping, self._number, records)
        mapping.counters["invocations"] += 1
        mapping.counters["in_flight"] = len(records)
        if mapping.attempts == 0:
            mapping.counters["polled"] += len(records)
        return mapping.running

    def _settle(self, mapping: FakeMapping, outcome: str) -> None:
        assert mapping.running is not None
        count, mapping.running = mapping.running.record_count, None
        retries = mapping.document["MaximumRetryAttempts"]
        mapping.counters["in_flight"] = 0
        if outcome == "returned":
            mapping.counters["succeeded"] += count
        elif retries < 0 or mapping.attempts < retries:
            mapping.attempts += 1
            mapping.counters["retries"] += 1
            mapping.counters["in_flight"] = count
            return
        else:
            mapping.counters["dropped"] += count
        mapping.attempts = 0
        mapping.position += count

    def _put(self, name: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        placed = []
        for record in records:
            number = str(len(self._streams[name]))
            self._streams[name].append(record | {"sequence_number": number})
            placed.append({"shard": "shardId-000000000000", "sequence_number": number})
        return placed

    def _described(self, name: str) -> dict[str, Any]:
        shard = {"id": "shardId-000000000000", "parents": [], "closed": False}
        return {"name": name, "arn": f"arn:aws:penstock:::stream/{name}", "shards": [shard]}

    def _picture(self, mapping: FakeMapping) -> dict[str, Any]:
        done = mapping.running is None and mapping.position >= len(self._source(mapping))
        stall = {"reason": "waiting_for_records", "since": 1_700_000_000_000, "until": None}
        lane = {
            "lane": 0, "queued": 0, "invocation": None, "attempts": 0, "undelivered": 0,
            "stall": None,
        }  # fmt: skip
        shard = {
            "shard": "shardId-000000000000", "state": "reading", "fence": 1, "behind_ms": 0,
            "buffered": 0, "stall": stall if done else None, "lanes": [lane],
        }  # fmt: skip
        return {
            "mapping": mapping.id,
            "source_arn": mapping.document["EventSourceArn"],
            "handler": mapping.document["Penstock"]["Handler"],
            "state": "paused" if mapping.paused else "running",
            "idle": done,
            "last_processing_result": "No records processed",
            "counters": mapping.counters,
            "stall": None,
            "shards": [shard],
        }
