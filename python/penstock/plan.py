"""Says before the first fetch what is going to happen, and warns of what people get wrong.

Rules: one line a mapping; every warning has a code under which it can be switched off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock.documents import Prepared
from penstock.plan_queues import PlannedQueue, QueueFacts
from penstock.wording import counted, words

WARNINGS: Final = {
    "PS801": "a poison record would block its shard",
    "PS802": "LATEST on a first start skips what is in the stream",
    "PS803": "there are fewer workers than could run at once",
    "PS804": "more than two mappings read one table's stream",
    "PS805": "a queue hides messages for less time than Lambda advises",
    "PS806": "a filter deletes what it does not match from a queue",
    "PS807": "nothing would ever go to the destination",
    "PS808": "aggregated records are read with more than one lane",
    "PS809": "a file with a secret can be read by others",
    "PS810": "the mapping API is served to other machines without TLS",
}


_TABLE: Final = "dynamodb:"
_TABLE_READERS_MAX: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMapping:
    """One mapping as it is about to run: its normalised document and what surrounds it."""

    id: str
    function: str
    source: str
    document: dict[str, Any]
    shards: int | None
    slots: int
    pool: str
    first_start: bool

    @property
    def lanes(self) -> int:
        """Concurrent batches of each shard."""
        return int(self.document["ParallelizationFactor"])

    @property
    def concurrency(self) -> int:
        """The most invocations that can run at once."""
        return self.slots if self.shards is None else min(self.slots, self.shards * self.lanes)

    def line(self) -> str:
        """Describe the mapping in one line."""
        shards = "unknown shards" if self.shards is None else counted(self.shards, "shard")
        return (
            f"{self.function} ← {self.source}: {shards} × {counted(self.lanes, 'lane')}, "
            f"from {self._start()}, up to {self.concurrency} at once, "
            f"batches of {self.document['BatchSize']}; a failing batch {self._fate()} [{self.id}]"
        )

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Warn: a code and a sentence each."""
        retries, age = self._retries(), self._age()
        if retries is None and age is None:
            yield (
                "PS801",
                (
                    f"{self.function}: without maximum_retry_attempts or maximum_record_age_in_"
                    f"seconds a poison record blocks its shard until it expires"
                ),
            )
            if self._destination() is not None:
                yield (
                    "PS807",
                    (
                        f"{self.function}: nothing goes to on_failure {self._destination()} "
                        f"without maximum_retry_attempts or maximum_record_age_in_seconds"
                    ),
                )
        if self.document["StartingPosition"] == "LATEST" and self.first_start:
            yield (
                "PS802",
                f"{self.function}: LATEST on a first start skips what is in {self.source} already",
            )
        wanted = (self.shards or 0) * self.lanes
        if wanted > self.slots:
            option = "coroutines" if self.pool == "aio" else "workers"
            yield (
                "PS803",
                (
                    f"{self.function}: {counted(self.shards or 0, 'shard')} × "
                    f"{counted(self.lanes, 'lane')} could run "
                    f"{wanted} at once, and there are {self.slots} {option}"
                ),
            )

    def _start(self) -> str:
        if not self.first_start:
            return "its checkpoints"
        return str(self.document["StartingPosition"])

    def _retries(self) -> int | None:
        retries = int(self.document["MaximumRetryAttempts"])
        return None if retries < 0 else retries

    def _age(self) -> int | None:
        age = int(self.document["MaximumRecordAgeInSeconds"])
        return None if age < 0 else age

    def _destination(self) -> str | None:
        on_failure = self.document.get("DestinationConfig", {}).get("OnFailure", {})
        target: str | None = on_failure.get("Destination")
        return target

    def _cost(self) -> str:
        """Say how many calls one poison record of a full batch takes, if there is an end."""
        retries, size = self._retries(), int(self.document["BatchSize"])
        if retries is None or size < 2:
            return ""
        return f" (one poison record: at most {2 * (size - 1).bit_length() + 1 + retries} calls)"

    def _fate(self) -> str:
        steps = []
        if self.document["BisectBatchOnFunctionError"]:
            steps.append("is bisected" + self._cost())
        retries, age = self._retries(), self._age()
        if retries is not None:
            steps.append(f"is retried {counted(retries, 'time')}" if retries else "is not retried")
        if age is not None:
            steps.append(f"ends after {words(age)}")
        if retries is None and age is None:
            return ", ".join([*steps, "is retried without end"])
        target = self._destination()
        steps.append(f"goes to {target}" if target else "is dropped")
        return ", ".join(steps[:-1]) + ", then " + steps[-1]


Planned = PlannedMapping | PlannedQueue


def planned_stream(
    each: Prepared, shards: int | None, slots: int, *, first_start: bool
) -> PlannedMapping:
    """Plan the mapping of a stream."""
    return PlannedMapping(
        id=each.id,
        function=each.function.name,
        source=each.source.uri,
        document=each.document,
        shards=shards,
        slots=slots,
        pool=each.function.pool,
        first_start=first_start,
    )


def planned_queue(each: Prepared, queue: QueueFacts | None, slots: int) -> PlannedQueue:
    """Plan the mapping of a queue."""
    return PlannedQueue(
        id=each.id,
        function=each.function.name,
        source=each.source.uri,
        document=each.document,
        queue=queue,
        slots=slots,
        pool=each.function.pool,
    )


def warnings(plan: Sequence[Planned], silence: Collection[str]) -> Iterator[tuple[str, str]]:
    """Give every warning that is not switched off."""
    if "PS804" not in silence:
        yield from (("PS804", sentence) for sentence in _crowded(plan))
    for mapping in plan:
        for code, sentence in mapping.warnings():
            if code not in silence:
                yield code, sentence


def _crowded(plan: Sequence[Planned]) -> Iterator[str]:
    readers = Counter(
        mapping.document["EventSourceArn"] for mapping in plan if mapping.source.startswith(_TABLE)
    )
    for arn, count in readers.items():
        if count > _TABLE_READERS_MAX:
            yield f"{count} mappings read {arn}: DynamoDB throttles more than two readers"
