"""Counts how long invocations took, in buckets, without keeping them.

Rules: a fixed number of buckets, each a tenth wider than the one before; adding never allocates.
"""

from __future__ import annotations

import math
from typing import Final

_GROWTH: Final = 1.1
_FIRST_MS: Final = 0.01
_BUCKETS: Final = 200
_SHOWN_EVERY: Final = 8
_PLACES_PER_E: Final = 1 / math.log(_GROWTH)
_FIRSTS_PER_SECOND: Final = 1000 / _FIRST_MS


class Durations:
    """A histogram of durations; safe to feed from several threads, exact to a tenth."""

    __slots__ = ("_buckets", "_seconds")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        firsts = seconds * _FIRSTS_PER_SECOND
        place = int(math.log(firsts) * _PLACES_PER_E) if firsts > 1 else 0
        self._buckets[place if place < _BUCKETS else -1] += 1
        self._seconds += seconds

    def cumulative(self) -> tuple[list[tuple[float, int]], float]:
        """Give how many took at most so many seconds, for rising bounds, and the sum of all."""
        seconds, buckets, seen = self._seconds, list(self._buckets), 0
        found = []
        for place, count in enumerate(buckets[:-1]):
            seen += count
            if place % _SHOWN_EVERY == _SHOWN_EVERY - 1:
                found.append((_FIRST_MS * _GROWTH ** (place + 1) / 1000, seen))
        return [*found, (math.inf, sum(buckets))], seconds

    def percentile_ms(self, share: float) -> float | None:
        """Give the duration that `share` of all stay under, or None if there were none."""
        buckets = list(self._buckets)
        wanted = share * sum(buckets)
        seen = 0
        for place, count in enumerate(buckets):
            seen += count
            if count and seen >= wanted:
                return float(_FIRST_MS * _GROWTH ** (place + 0.5))
        return None
