"""Says of a queue's mapping what is going to happen, and warns of what people get wrong.

Rules: one line a mapping; Lambda's own advice is quoted where it is not followed, and what Lambda
would refuse is said to be refused there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from penstock.wording import counted, words

_TIMES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """What a queue says of itself."""

    visibility_timeout_s: int
    dead_letter_queue: str | None = None
    max_receive_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedQueue:
    """One mapping of a queue as it is about to run, and what surrounds it."""

    id: str
    function: str
    source: str
    document: dict[str, Any]
    queue: QueueFacts | None
    slots: int
    pool: str

    @property
    def concurrency(self) -> int:
        """The most invocations that can run at once."""
        return min(self.slots, self._wanted() or self.slots)

    def line(self) -> str:
        """Describe the mapping in one line."""
        kind = "FIFO queue" if self.document["EventSourceArn"].endswith(".fifo") else "queue"
        return (
            f"{self.function} ← {self.source}: {kind}, up to {self.concurrency} at once, "
            f"batches of {self.document['BatchSize']}; a failed message {self._fate()} [{self.id}]"
        )

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Warn: a code and a sentence each."""
        wanted = self._wanted()
        if wanted is not None and wanted > self.slots:
            option = "coroutines" if self.pool == "aio" else "workers"
            yield (
                "PS803",
                (
                    f"{self.function}: maximum_concurrency is {wanted}, and there are {self.slots} "
                    f"{option}"
                ),
            )
        if self.queue is not None:
            yield from self._visibility(self.queue.visibility_timeout_s)
        if self.document.get("FilterCriteria", {}).get("Filters"):
            yield (
                "PS806",
                f"{self.function}: messages of {self.source} that match no filter are deleted",
            )

    def _visibility(self, visibility: int) -> Iterator[tuple[str, str]]:
        timeout = self.document["Penstock"]["FunctionTimeoutMs"] / 1000
        window = self.document.get("MaximumBatchingWindowInSeconds", 0)
        wanted = _TIMES * timeout + window
        if visibility >= wanted:
            return
        refused = ""
        if visibility < timeout:
            refused = (
                f" (Lambda refuses this: Queue visibility timeout: {visibility} seconds is less "
                f"than Function timeout: {timeout:g} seconds)"
            )
        yield (
            "PS805",
            (
                f"{self.function}: {self.source} hides messages for {words(visibility)}, less than "
                f"the {words(wanted)} that Lambda advises: {_TIMES} times the function's timeout"
                f"{' and the window' if window else ''}{refused}"
            ),
        )

    def _wanted(self) -> int | None:
        found = self.document.get("ScalingConfig", {}).get("MaximumConcurrency")
        return None if found is None else int(found)

    def _fate(self) -> str:
        if self.queue is None:
            return "comes back when its visibility ends"
        text = f"comes back after {words(self.queue.visibility_timeout_s)}"
        if self.queue.max_receive_count is None:
            return f"{text}, until it expires"
        target = self.queue.dead_letter_queue or "the dead-letter queue"
        receives = counted(self.queue.max_receive_count, "receive")
        return f"{text}, and goes to {target} after {receives}"
