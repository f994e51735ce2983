"""Tests what a run shows of itself."""

from __future__ import annotations

import weakref
from typing import Any

from rich.console import Console

from penstock.cli.screen import Rate, Screen


def test_a_mapping_that_is_gone_leaves_nothing_behind() -> None:
    screen = Screen(Console(quiet=True))
    rates: list[weakref.ref[Rate]] = []
    for number in range(3):
        screen.tick({"mappings": [_mapping("stays"), _mapping(f"made-{number}")]})
        rates.append(weakref.ref(screen._rates[f"made-{number}"]))
    assert set(screen._rates) == {"stays", "made-2"}
    assert [rate() is None for rate in rates] == [True, True, False]


def test_a_mapping_that_stays_has_its_rate() -> None:
    rate = Rate()
    assert [rate.add(second, 100 * second) for second in range(1, 6)] == [0, 100, 100, 100, 100]


def _mapping(name: str) -> dict[str, Any]:
    names = (
        "filtered", "succeeded", "dropped", "delivered", "in_flight", "retries", "bisections",
    )  # fmt: skip
    return {
        "mapping": name, "handler": "f", "source_arn": "a", "shards": [], "state": "running",
        "counters": dict.fromkeys(names, 0),
    }  # fmt: skip
