"""Lets a case happen: a runtime with a manual clock, an embedded stream, and its workers.

Rules: the runner is every worker; time moves only when nothing is left to do at a moment, and never
past a moment at which the case expects something.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from penstock._bridge import Invocation, Runtime
from penstock.workers.answers import encode_answer
from tests.python.conformance.cases import Case, merged
from tests.python.conformance.queues import Queue
from tests.python.conformance.windows import PERIOD_MS, TURN_MS, Windows

MAPPING: Final = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
BASE: Final[dict[str, Any]] = {
    "UUID": MAPPING,
    "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:orders",
    "StartingPosition": "TRIM_HORIZON",
    "Penstock": {
        "Source": "stream:orders",
        "RoleArn": "arn:aws:iam::123456789012:role/lambda-role",
        "BackoffJitter": 0.0,
    },
}
QUEUE_BASE: Final[dict[str, Any]] = {
    "UUID": MAPPING,
    "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:orders",
    "Penstock": {"Source": "queue:orders", "FunctionTimeoutMs": 5_000, "BackoffJitter": 0.0},
}
POOL: Final = "threads"
_LOOK_SECONDS: Final = 0.004
_STEP_MS: Final = 50
_STEP_MS_MAX: Final = 1000
# Visibility is seen to long before it ends, and windows take minutes.
_LONG_STEP_MS_MAX: Final = 5000
# A queue answers through its file, which takes a moment that no clock of ours counts.
_QUIET_AT_MOMENTS: Final = 12
_REST_MS_MAX: Final = 4 * 3_600_000
_REAL_SECONDS_MAX: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Record:
    """One record that was put."""

    number: int
    shard: str
    sequence: str
    arrival_ms: int


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of the handler."""

    records: list[int]
    attempt: int
    request: str
    at_ms: int
    began: int
    event: dict[str, Any]
    ended: int | None = None
    until_ms: int | None = None


@dataclass(slots=True, kw_only=True)
class _Running:
    call: Call
    invocation: Invocation
    until_ms: int
    outcome: tuple[Any, ...]


@dataclass(slots=True)
class Stage:
    """A case at work."""

    case: Case
    folder: Path
    records: list[Record] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    notices: set[str] = field(default_factory=set)
    picture: dict[str, Any] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)
    documents: list[dict[str, Any]] = field(default_factory=list)
    queue: Queue | None = None
    windows: Windows | None = None
    drained: bool | None = None
    started_ms: int | None = None
    birth_ms: int = 0
    now_ms: int = 0
    _document: dict[str, Any] = field(default_factory=dict)
    _runtime: Runtime | None = None
    _running: dict[int, _Running] = field(default_factory=dict)
    _shards: list[dict[str, Any]] = field(default_factory=list)
    _moments: int = 0
    _lives: int = 0

    def begin(self) -> None:
        """Make the stream and put the first records."""
        self._open()
        config = self.case.body.get("config", {})
        length_s = config.get("TumblingWindowInSeconds", 0)
        if length_s:
            self.windows = Windows(length_s=length_s, handler=self.case.body.get("handler", {}))
            # The moments of a case count from the same place within windows everywhere.
            self._advance((TURN_MS - self.now_ms) % PERIOD_MS)
        self.birth_ms = self.now_ms
        self._document = merged(base(self.case), self._at(config))
        if "queue" in self.case.body:
            self.queue = Queue(self.case.body["queue"], self._alive.queues)
            self.queue.create()
            self._put(self.case.body.get("records", []))
            return
        self._ask(op="create", name="orders", shards=self.case.body.get("shards", 1))
        destination = self._destination()
        if destination:
            self._ask(op="create", name=destination, shards=1)
        self._put(self.case.body.get("records", []))

    def step(self, step: str, what: Any) -> None:
        """Let one step happen; what it expects is for others to judge."""
        if step == "start":
            self._start(what)
        elif step == "settle":
            self._settle()
        elif step == "wait_ms":
            self._wait(what)
        elif step == "put":
            self._put(what)
        elif step == "split":
            self._ask(op="split", name="orders", shard=self.shard_name(what))
        elif step == "merge":
            first, second = (self.shard_name(each) for each in what)
            self._ask(op="merge", name="orders", shard=first, adjacent=second)
        elif step == "pause":
            self._alive.pause(MAPPING)
        elif step == "resume":
            self._alive.resume(MAPPING)
        elif step == "update":
            self._document = merged(self._document, self._at(what))
            self._alive.update_mapping(MAPPING, json.dumps(self._document).encode())
        elif step == "drain_ms":
            self._drain(what)
        elif step == "stop":
            self.end()
        if self._runtime is not None:
            self._turn()

    def end(self) -> None:
        """Stop at once and keep what can be known."""
        if self._runtime is not None:
            self.look()
            self._running.clear()
            self._runtime.close(5.0)
            self._runtime = None

    def look(self) -> None:
        """Take down what is to be judged."""
        if self._runtime is None:
            return
        runtime = self._runtime
        self._take_notices()
        mappings = json.loads(runtime.snapshot())["mappings"]
        if mappings and "counters" in mappings[0]:
            self.picture = mappings[0]
        rows = json.loads(runtime.checkpoints(MAPPING))
        self.saved = {row["shard"]: row["checkpoint"] for row in rows}
        destination = self._destination()
        if destination:
            self.documents = self._read_documents(destination)

    def shard_name(self, number: int) -> str:
        """Give the name of a shard by its number."""
        return f"shardId-{number:012}"

    @property
    def _alive(self) -> Runtime:
        assert self._runtime is not None, "the case has stopped its process"
        return self._runtime

    def _open(self) -> None:
        kept = str(self.folder) if self.case.restarts else None
        self._lives += 1
        document = {
            "state_dir": kept,
            "clock": "manual",
            "seed": self._lives,
            "workers": {POOL: self.case.body.get("workers", 4)},
        }
        self._runtime = Runtime(json.dumps(document).encode())
        before = self.now_ms
        self.now_ms = int(json.loads(self._runtime.snapshot())["now"])
        # The clock of a second process goes on where that of the first stood.
        if before > self.now_ms:
            self._advance(before - self.now_ms)

    def _start(self, changes: Mapping[str, Any]) -> None:
        if self._runtime is None:
            self._open()
        self.picture = {}
        self._document = merged(self._document, self._at(changes))
        if self.started_ms is None:
            self.started_ms = self.now_ms
        self._alive.add_mapping(json.dumps(self._document).encode())
        limit = time.monotonic() + _REAL_SECONDS_MAX
        while not self._has_begun():
            assert time.monotonic() < limit, "the mapping does not start"
            self._snapshot()

    def _has_begun(self) -> bool:
        if self.queue is None:
            return bool(self.picture.get("shards"))
        return (self.picture.get("queue") or {}).get("visibility_timeout_s") is not None

    def _drain(self, span_ms: int) -> None:
        answers: list[bool] = []
        runtime = self._alive
        waiter = threading.Thread(target=lambda: answers.append(runtime.drain(span_ms / 1000)))
        waiter.start()
        while waiter.is_alive():
            self._turn()
            if self._running:
                self._advance(self._span(_STEP_MS))
            waiter.join(_LOOK_SECONDS)
        self.drained = answers == [True]
        self.end()

    def _settle(self) -> None:
        limit = time.monotonic() + _REAL_SECONDS_MAX
        until_ms, step = self.now_ms + _REST_MS_MAX, _STEP_MS
        self._turn()
        while self._running or not self.picture.get("idle") or self._has_messages():
            assert self.now_ms < until_ms, f"the case does not come to rest: {self.picture}"
            assert time.monotonic() < limit, f"the case takes too long: {self.picture}"
            self._advance(self._span(step))
            step = _STEP_MS if self._turn() else min(2 * step, self._step_ms_max)

    def _has_messages(self) -> bool:
        return self.queue is not None and bool(self.queue.standing()["left"])

    def _wait(self, span_ms: int) -> None:
        until_ms, step = self.now_ms + span_ms, _STEP_MS
        self._turn()
        while self.now_ms < until_ms:
            self._advance(min(self._span(step), until_ms - self.now_ms))
            step = _STEP_MS if self._turn() else min(2 * step, self._step_ms_max)

    def _span(self, most_ms: int) -> int:
        """How far time may move without passing a moment that the case knows of.

        Each is come to from one millisecond before it, so that what is early is seen as well.
        """
        known = [running.until_ms for running in self._running.values()]
        if self.started_ms is not None:
            known += [self.started_ms + moment for moment in self.case.moments]
        spans = [moment - self.now_ms for at in known for moment in (at - 1, at)]
        return min([most_ms, *(span for span in spans if span > 0)])

    def _turn(self) -> bool:
        """Do everything that can be done at this moment; whether there was anything."""
        before, quiet, busy = "", 0, False
        enough = _QUIET_AT_MOMENTS if self.queue is not None and self._at_moment() else 2
        while quiet < enough:
            moved = self._finish_due() or self._take()
            text = self._snapshot()
            quiet = 0 if moved or text != before else quiet + 1
            before, busy = text, busy or moved
        return busy

    def _at_moment(self) -> bool:
        """Whether the case knows of something that happens now."""
        if self.started_ms is None:
            return False
        return self.now_ms - self.started_ms in {0, *self.case.moments}

    @property
    def _step_ms_max(self) -> int:
        plain = self.queue is None and self.windows is None
        return _STEP_MS_MAX if plain else _LONG_STEP_MS_MAX

    def _snapshot(self) -> str:
        self._take_notices()
        picture = json.loads(self._alive.snapshot())
        mappings = picture["mappings"]
        if mappings and "counters" in mappings[0]:
            self.picture = mappings[0]
        return json.dumps([mappings, picture["exchange"]["threads"]["due_mappings"]])

    def _take_notices(self) -> None:
        for _, _, code, _, _ in self._alive.drain_notices(1000):
            self.notices.add(code)

    def _take(self) -> bool:
        free = next(n for n in range(10_000) if n not in self._running)
        if free >= self.case.body.get("workers", 4):
            time.sleep(_LOOK_SECONDS)
            return False
        invocation = self._alive.next_invocation(POOL, free, _LOOK_SECONDS)
        if invocation is None:
            return False
        event = invocation.event()
        assert json.loads(invocation.json()) == event
        if self.queue is not None:
            numbers = self.queue.saw(event, self.now_ms)
        else:
            numbers = [self.number_of(r["kinesis"]["sequenceNumber"]) for r in event["Records"]]
        outcome = self._outcome(numbers, event)
        self._moments += 1
        call = Call(
            records=numbers,
            attempt=invocation.attempt,
            request=invocation.request_id,
            at_ms=self.now_ms,
            began=self._moments,
            event=event,
        )
        self.calls.append(call)
        takes_ms = self.case.body.get("handler", {}).get("takes_ms", 0)
        self._running[free] = _Running(
            call=call, invocation=invocation, until_ms=self.now_ms + takes_ms, outcome=outcome
        )
        return True

    def _finish_due(self) -> bool:
        due = [slot for slot, each in self._running.items() if each.until_ms <= self.now_ms]
        for slot in due:
            running = self._running.pop(slot)
            self._moments += 1
            running.call.ended, running.call.until_ms = self._moments, self.now_ms
            invocation = running.invocation
            self._alive.complete(invocation.mapping, invocation.id, *running.outcome)
        return bool(due)

    def _outcome(self, numbers: list[int], event: dict[str, Any]) -> tuple[Any, ...]:
        handler = self.case.body.get("handler", {})
        answers = handler.get("answers", [])
        answer: Any = "ok"
        if len(self.calls) < len(answers):
            answer = answers[len(self.calls)]
        else:
            for poison in handler.get("poison", ()):
                held = set(poison["records"])
                before = sum(not held.isdisjoint(call.records) for call in self.calls)
                if not held.isdisjoint(numbers) and before < poison.get("times", 10_000):
                    answer = poison["answer"]
                    break
        failed = (None, "ValueError", "poison")
        if self.windows is not None:
            answer = self.windows.answer(answer, numbers, event)
        if isinstance(answer, str):
            words = {"raise": "raised", "crash": "crashed"}
            return {
                "ok": ("returned", None),
                "timeout": ("timed_out",),
                "throttle": ("rejected",),
            }.get(answer) or (words[answer], *failed)
        if "report" in answer:
            reported = [number for number in answer["report"] if number in numbers]
            what = "seq" if self.queue is None else "id"
            items = [{"itemIdentifier": f"${what}:{number}"} for number in reported]
            answer = {"return": {"batchItemFailures": items}}
        return ("returned", encode_answer(self.filled_in(answer["return"])))

    def _advance(self, span_ms: int) -> None:
        self._alive.advance(span_ms)
        self.now_ms += span_ms

    def _put(self, puts: list[Any]) -> None:
        if self.queue is not None:
            self.queue.put(puts, self.now_ms)
            return
        entries: list[dict[str, Any]] = []
        for put in puts:
            full: dict[str, Any] = {"data": put} if isinstance(put, str) else put
            plain = full.get("data", "x" * full.get("bytes", 1)).encode()
            entry = {
                "key": full.get("key", "k"),
                "data": full.get("base64") or base64.b64encode(plain).decode(),
                "hash_key": self._hash_key(full.get("shard", 0)),
            }
            entries += [entry] * full.get("times", 1)
        # One command, so that a read finds all of them or none.
        placed = self._ask(op="put", name="orders", records=entries)["records"] if entries else []
        for at in placed:
            record = Record(
                number=len(self.records) + 1,
                shard=at["shard"],
                sequence=at["sequence_number"],
                arrival_ms=self.now_ms,
            )
            self.records.append(record)

    def _hash_key(self, shard: int) -> str:
        shards = self._ask(op="describe", name="orders")["shards"]
        name = self.shard_name(shard)
        return str(next(each["starting_hash_key"] for each in shards if each["id"] == name))

    def number_of(self, sequence: str) -> int:
        """Give the number of the record with this sequence number."""
        return next(record.number for record in self.records if record.sequence == sequence)

    def filled_in(self, value: Any) -> Any:
        """Give the value with what is known of records in the place of `$seq:N` and the like."""
        if isinstance(value, list):
            return [self.filled_in(each) for each in value]
        if isinstance(value, dict):
            return {key: self.filled_in(each) for key, each in value.items()}
        if not isinstance(value, str) or not value.startswith("$"):
            return value
        what, _, number = value[1:].partition(":")
        if self.queue is not None and number.isdigit():
            told = self.queue.known(what, int(number))
            return value if told is None else told
        if not number.isdigit() or not 0 < int(number) <= len(self.records):
            return value
        record = self.records[int(number) - 1]
        if self.windows is not None and what in {"from", "to"}:
            return self.windows.bounds(record.arrival_ms)[what == "to"]
        known: dict[str, Any] = {
            "seq": record.sequence,
            "event": f"{record.shard}:{record.sequence}",
            "arrival": record.arrival_ms / 1000,
        }
        return known.get(what, value)

    def _at(self, changes: Any) -> Any:
        """Give the document with moments in the place of `$at_ms:N`, counted from the beginning."""
        if isinstance(changes, dict):
            return {key: self._at(each) for key, each in changes.items()}
        if isinstance(changes, str) and changes.startswith("$at_ms:"):
            return (self.birth_ms + int(changes.removeprefix("$at_ms:"))) / 1000
        return changes

    def _destination(self) -> str:
        on_failure = self._document.get("DestinationConfig", {}).get("OnFailure", {})
        return str(on_failure.get("Destination", "")).removeprefix("stream:")

    def _read_documents(self, stream: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = None
        shard = self.shard_name(0)
        while page := self._ask(op="read", name=stream, shard=shard, after=after)["records"]:
            after = page[-1]["sequence_number"]
            found += [json.loads(base64.b64decode(record["data"])) for record in page]
        return found

    def _ask(self, **command: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._alive.streams(json.dumps(command).encode()))
        return answer


def base(case: Case) -> dict[str, Any]:
    """Give the document that a case changes."""
    if "queue" not in case.body:
        return BASE
    fifo = case.body["queue"].get("fifo")
    return merged(QUEUE_BASE, {"Penstock": {"Source": "queue:orders.fifo"}} if fifo else {})
