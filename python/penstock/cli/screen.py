"""Shows a run: one live table on a terminal, plain lines elsewhere.

Rules: at most four redraws a second, each from one snapshot; log lines scroll above the table; a
summary stays at the end.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from penstock.cli.console import is_live
from penstock.plan import Planned
from penstock.supervise import Observer
from penstock.wording import words

log = logging.getLogger("penstock")

_RATE_SECONDS: Final = 2.0
_PLAIN_SECONDS: Final = 10.0
_COLUMNS: Final = (
    "mapping", "source", "shards", "state", "records/s", "in flight", "iterator age", "retries",
    "bisections", "discarded",
)  # fmt: skip


class Rate:
    """Records a second over the last two seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> float:
        """Take a new total and give the rate."""
        self._points.append((now, count))
        while len(self._points) > 2 and now - self._points[0][0] > _RATE_SECONDS:
            self._points.popleft()
        (then, before), span = self._points[0], now - self._points[0][0]
        return (count - before) / span if span > 0 and then else 0.0


class Screen(Observer):
    """What a run shows of itself."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._names: dict[str, Planned] = {}
        self._rates: dict[str, Rate] = {}
        self._plain_at = time.monotonic() + _PLAIN_SECONDS
        self._told = -1

    def plan(self, plan: list[Planned]) -> None:
        """Open the table."""
        for mapping in plan:
            self._names[mapping.id] = mapping
        if is_live(self._console):
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def tick(self, snapshot: dict[str, Any]) -> None:
        """Redraw."""
        rows = [self._row(mapping) for mapping in snapshot["mappings"]]
        # The API makes mappings and deletes them for as long as the program runs.
        there = {mapping["mapping"] for mapping in snapshot["mappings"]}
        self._rates = {each: rate for each, rate in self._rates.items() if each in there}
        if self._live is not None:
            self._live.update(self._table(rows), refresh=True)
        elif time.monotonic() >= self._plain_at:
            self._plain_at = time.monotonic() + _PLAIN_SECONDS
            total = sum(settled(mapping) for mapping in snapshot["mappings"])
            if total != self._told:
                self._told = total
                for row in rows:
                    pairs = zip(_COLUMNS[1:], row[1:], strict=True)
                    log.info("%s: %s", row[0], ", ".join(f"{k} {v}" for k, v in pairs))

    def aborted(self) -> None:
        """Give the terminal back."""
        self.close()

    def close(self) -> None:
        """Take the table away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _row(self, mapping: dict[str, Any]) -> list[str]:
        planned = self._names.get(mapping["mapping"])
        rate = self._rates.setdefault(mapping["mapping"], Rate())
        counters = mapping["counters"]
        ages = [s["behind_ms"] for s in mapping["shards"] if s["behind_ms"] is not None]
        return [
            planned.function if planned else mapping["handler"],
            planned.source if planned else mapping["source_arn"],
            str(sum(1 for shard in mapping["shards"] if shard["state"] != "ended")),
            mapping["state"],
            f"{rate.add(time.monotonic(), settled(mapping)):,.0f}",
            f"{counters['in_flight']:,}",
            words(max(ages) / 1000) if ages else "-",
            f"{counters['retries']:,}",
            f"{counters['bisections']:,}",
            f"{counters['dropped'] + counters['delivered']:,}",
        ]

    def _table(self, rows: list[list[str]]) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in _COLUMNS:
            right = column not in {"mapping", "source", "state"}
            table.add_column(column, justify="right" if right else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        return table


def settled(mapping: dict[str, Any]) -> int:
    """Count the records of a mapping that are done with."""
    counters = mapping["counters"]
    return sum(counters[name] for name in ("filtered", "succeeded", "dropped", "delivered"))
