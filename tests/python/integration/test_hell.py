"""Handlers from hell, in processes, threads and coroutines, fail their own batch and no other."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import penstock
from tests.python.integration import harness, hell, hell_async, hell_process
from tests.python.integration.journals import NAME, handled, lines, until

HEALTHY = 120
KEYS = 8
SLOW_S = "3.5"

Harm = Callable[..., Any]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers say what they have handled."""
    path = tmp_path / "journal"
    path.touch()
    monkeypatch.setenv(NAME, str(path))
    monkeypatch.chdir(tmp_path)  # handlers go elsewhere, and this brings everybody back
    return path


@pytest.mark.parametrize(
    ("pool", "handler", "harmful", "harmless"),
    [
        pytest.param(
            "process",
            hell.handler,
            (*hell.FAIL[:6], *hell_process.DIE[:4], *hell_process.HANG[:1]),
            (*hell.LIVE[:1], *hell_process.LIVE[:3]),
            id="some-processes",
        ),
        pytest.param(
            "process", hell.handler, (*hell.FAIL, *hell_process.DIE), (),
            id="processes-that-end", marks=pytest.mark.slow,
        ),
        pytest.param(
            "process", hell.handler, hell_process.HANG, (*hell.LIVE, *hell_process.LIVE),
            id="processes-that-hang", marks=pytest.mark.slow,
        ),
        pytest.param("threads", hell.handler, hell.FAIL, hell.LIVE, id="threads"),
        pytest.param(
            "threads", hell.handler, hell.SLOW, (), id="slow-threads", marks=pytest.mark.slow
        ),
        pytest.param(
            "threads", hell.async_handler, (*hell.FAIL, *hell_async.FAIL),
            (*hell.LIVE, *hell_async.LIVE), id="coroutines",
        ),
        pytest.param(
            "threads", hell.async_handler, hell_async.HANG, (),
            id="coroutines-that-hang", marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_a_handler_from_hell_fails_its_own_record_and_no_other(
    pool: str,
    handler: Harm,
    harmful: tuple[Harm, ...],
    harmless: tuple[Harm, ...],
    journal: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if pool == "threads":
        monkeypatch.setenv("HELL_SECONDS", SLOW_S)
    failures = tmp_path / "failures.jsonl"
    app = penstock.App(state=":memory:", streams={"orders": 2}, pool=pool, workers=2)
    app.function(timeout="2500ms")(handler)
    app.add(
        penstock.Mapping(
            "stream:orders",
            handler,
            batch_size=2,
            parallelization_factor=2,
            starting_position="TRIM_HORIZON",
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=0,
            function_response_types=["ReportBatchItemFailures"],
            on_failure=f"file:{failures}",
        )
    )
    bad = list(dict.fromkeys(each.__name__ for each in (*harmful, *harmless)))
    marks = [str(n) for n in range(HEALTHY)]
    for place, name in enumerate(bad):
        marks.insert(place * 4 + 2, name)
    with app.background() as engine:
        engine.put("orders", [(f"k{n % KEYS}", m.encode()) for n, m in enumerate(marks)])
        harness.until_idle(engine, timeout_s=150)
        counters = engine.snapshot()["mappings"][0]["counters"]
    given_up = {each.__name__ for each in harmful}
    assert set(handled(journal)) - given_up == set(marks) - given_up
    documents = [json.loads(line) for line in failures.read_text().splitlines()]
    assert all(each["KinesisBatchInfo"]["batchSize"] == 1 for each in documents)
    assert counters["delivered"] == len(given_up) == len(documents), f"{counters}"
    assert counters["succeeded"] == len(marks) - len(given_up)
    order: dict[str, list[int]] = defaultdict(list)
    for key, mark in lines(journal, "H"):
        if mark not in given_up and (place := marks.index(mark)) not in order[key]:
            order[key].append(place)
    wrong = {key: places for key, places in order.items() if places != sorted(places)}
    assert not wrong, f"handled out of order: {wrong}"


def test_enough_handlers_from_hell_are_tried() -> None:
    assert len({*hell.FAIL, *hell.LIVE, *hell_process.DIE, *hell_process.HANG}) >= 25
    for pool in (
        (*hell.FAIL, *hell.LIVE, *hell.SLOW),
        (*hell.FAIL, *hell.LIVE, *hell_async.FAIL, *hell_async.HANG, *hell_async.LIVE),
    ):
        assert len({each.__name__ for each in pool}) >= 25


def test_a_thread_that_hangs_holds_its_own_lane_up_and_is_called_overdue(journal: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def handler(event: dict[str, Any], context: penstock.Context) -> None:
        records = hell.begun(event)
        if records[0][1] == "hangs" and not go_on.is_set():
            begun.set()
            assert go_on.wait(100)
        hell.note("H", records)

    app = penstock.App(state=":memory:", streams={"orders": 1}, workers=2)
    app.function(timeout="500ms")(handler)
    app.add(
        penstock.Mapping(
            "stream:orders",
            handler,
            batch_size=1,
            parallelization_factor=10,
            starting_position="TRIM_HORIZON",
        )
    )
    with app.background() as engine:
        engine.put("orders", [("stuck", b"hangs"), ("stuck", b"behind")])
        until(begun.is_set)
        engine.put("orders", [(f"k{n}", b"%d" % n) for n in range(50)])
        until(lambda: len(overdue(engine)) == 1)
        [lane] = overdue(engine)
        until(lambda: counted(engine)["in_flight"] == 1)
        # A key shares the lane with the one that is stuck, or is handled.
        assert 30 <= len(handled(journal)) <= 50
        assert "behind" not in handled(journal), "a key ran twice at once"
        go_on.set()
        harness.until_idle(engine)
        assert not overdue(engine)
        assert counted(engine)["succeeded"] == 52
    marks = handled(journal)
    assert marks.count("hangs") == 2, "what came after the timeout did not count"
    assert marks.index("behind") > marks.index("hangs")
    assert set(marks) == {"hangs", "behind", *(f"{n}" for n in range(50))}
    assert lane["reason"] == "in_handler"


def overdue(engine: penstock.Engine) -> list[dict[str, Any]]:
    """Give the reasons of lanes whose handler has run longer than it may."""
    shards = engine.snapshot()["mappings"][0]["shards"]
    stalls = [lane["stall"] for shard in shards for lane in shard["lanes"] if lane["stall"]]
    return [stall for stall in stalls if stall.get("overdue")]


def counted(engine: penstock.Engine) -> dict[str, int]:
    found: dict[str, int] = engine.snapshot()["mappings"][0]["counters"]
    return found
