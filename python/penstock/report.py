"""Sums up a run: what went through, what was given up, how long it took.

Rules: numbers come from one snapshot taken after the drain; a record that is in no counted place is
lost and said so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from penstock.wording import counted, words

DONE: Final = 0
FAILED: Final = 1
DISCARDED: Final = 3
NOT_DRAINED: Final = 4

_PLACES = (
    "filtered", "succeeded", "dropped", "delivered", "awaiting_delivery", "buffered", "in_flight",
    "acknowledging", "returned", "abandoned",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did."""

    drained: bool
    records: int
    batches: int
    succeeded: int
    discarded: int
    dropped: int
    delivered: int
    lost: int
    gaps: int
    retries: int
    bisections: int
    failing: tuple[str, ...]
    duration_seconds: float
    drain_seconds: float
    p99_ms: float | None

    @property
    def exit_code(self) -> int:
        """What a program that did this run should end with: 0, 1, 3 or 4."""
        if not self.drained:
            return NOT_DRAINED
        if self.failing or self.lost:
            return FAILED
        return DISCARDED if self.discarded else DONE

    def sentence(self) -> str:
        """Sum up in one line."""
        state = "drained" if self.drained else "not drained"
        parts = [
            (
                f"{state} in {words(self.drain_seconds)}: {counted(self.records, 'record')} in "
                f"{counted(self.batches, 'batch')}"
            ),
            f"{self.lost:,} lost",
            f"{self.discarded:,} discarded",
        ]
        if self.gaps:
            parts.append(f"{counted(self.gaps, 'gap')} left by the source's retention")
        if self.p99_ms is not None:
            parts.append(f"p99 {words(self.p99_ms / 1000)}")
        return ", ".join(parts)


def make_report(
    mappings: Iterable[dict[str, Any]],
    *,
    drained: bool,
    duration_seconds: float,
    drain_seconds: float,
    p99_ms: float | None,
) -> Report:
    """Add up the snapshots of all mappings."""
    mappings = list(mappings)
    counts = [mapping["counters"] for mapping in mappings]

    def total(name: str) -> int:
        return sum(count.get(name, 0) for count in counts)

    return Report(
        drained=drained,
        records=sum(total(name) for name in ("filtered", "succeeded", "dropped", "delivered")),
        batches=total("invocations"),
        succeeded=total("succeeded"),
        discarded=total("dropped") + total("delivered"),
        dropped=total("dropped"),
        delivered=total("delivered"),
        lost=max(0, total("polled") - sum(total(name) for name in _PLACES)),
        gaps=total("gaps"),
        retries=total("retries"),
        bisections=total("bisections"),
        failing=tuple(m["mapping"] for m in mappings if m["state"] == "failing"),
        duration_seconds=duration_seconds,
        drain_seconds=drain_seconds,
        p99_ms=p99_ms,
    )
