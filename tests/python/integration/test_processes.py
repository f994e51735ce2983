"""Handlers in processes of their own: crashes and hangs are charged to their batch and no other."""

from __future__ import annotations

import json
import math
import os
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import penstock
from tests.python.integration import harness, hell
from tests.python.integration.journals import NAME, assert_in_order, lines, running, until

RETRIES = 2


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers say what they have handled."""
    path = tmp_path / "journal"
    path.touch()
    monkeypatch.setenv(NAME, str(path))
    return path


def test_the_record_that_kills_is_found_in_few_calls(journal: Path, tmp_path: Path) -> None:
    records = 10_000
    failures = tmp_path / "failures.jsonl"
    app = penstock.App(state=":memory:", streams={"orders": 1}, pool="process", workers=1)
    app.add(
        penstock.Mapping(
            "stream:orders",
            hell.handler,
            batch_size=records,
            maximum_batching_window_in_seconds=2,
            starting_position="TRIM_HORIZON",
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=RETRIES,
            on_failure=f"file:{failures}",
        )
    )
    marks = [f"{n}" for n in range(records)]
    marks[3_717] = "dies_with_failure"
    with app.background() as engine:
        engine.put("orders", [(f"k{n}", mark.encode()) for n, mark in enumerate(marks)])
        harness.until_idle(engine, timeout_s=120)
    calls = lines(journal, "C")
    bound = 2 * math.ceil(math.log2(records)) + 1 + RETRIES
    assert len(calls) <= bound, f"{len(calls)} calls, more than {bound}"
    assert {mark for _, mark in lines(journal, "H")} == set(marks) - {"dies_with_failure"}
    documents = [json.loads(line) for line in failures.read_text().splitlines()]
    assert [each["KinesisBatchInfo"]["batchSize"] for each in documents] == [1]
    assert documents[0]["requestContext"]["approximateInvokeCount"] == RETRIES + 1


def test_lanes_stay_with_their_child_while_it_lives(journal: Path) -> None:
    app = penstock.App(state=":memory:", streams={"orders": 2}, pool="process", workers=3)
    app.add(lanes_mapping())
    with app.background() as engine:
        ready(engine)
        for start in range(0, 400, 100):
            handle(engine, journal, range(start, start + 100))
        pids = {child["pid"] for child in engine.children()}
    homes = children_of_lanes(journal)
    assert len(homes) == 10, "every lane of both shards ran"
    assert all(len(children) == 1 for children in homes.values()), f"{homes}"
    spread = [sum(children == [pid] for children in homes.values()) for pid in pids]
    assert sorted(spread) == [3, 3, 4], "lanes are shared out evenly"
    assert_in_order(journal, 400)


def test_lanes_of_a_killed_child_go_on_and_the_others_stay(journal: Path) -> None:
    app = penstock.App(state=":memory:", streams={"orders": 2}, pool="process", workers=2)
    app.add(lanes_mapping())
    with app.background() as engine:
        ready(engine)
        handle(engine, journal, range(100))
        killed, lives = (child["pid"] for child in engine.children())
        end_child(killed)
        handle(engine, journal, range(100, 400))
    homes = children_of_lanes(journal)
    assert sum(children[0] == killed for children in homes.values()) == 5
    for children in homes.values():
        if children[0] == killed:
            assert len(children) == 2, "they go on in one place"
            assert children[1] != lives, "the next child of the slot has them"
        else:
            assert children == [lives], "the other child keeps its lanes"
    assert_in_order(journal, 400)


def test_lanes_of_a_child_that_cannot_be_started_go_on_elsewhere(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELL_BROKEN", str(tmp_path / "broken"))
    app = penstock.App(
        state=":memory:",
        streams={"orders": 2},
        pool="process",
        workers=2,
        children=penstock.Children(init=hell.init_unless_broken),
    )
    app.add(lanes_mapping())
    with app.background() as engine:
        ready(engine)
        handle(engine, journal, range(100))
        killed, lives = (child["pid"] for child in engine.children())
        (tmp_path / "broken").touch()
        end_child(killed)
        handle(engine, journal, range(100, 200))
        after = children_of_lanes(journal)
        (tmp_path / "broken").unlink()
        ready(engine)
        handle(engine, journal, range(200, 400))
        back = next(c["pid"] for c in engine.children() if c["pid"] != lives)
    assert all(children[-1] == lives for children in after.values())
    last = [children[-1] for children in children_of_lanes(journal).values()]
    assert sorted((last.count(lives), last.count(back))) == [5, 5], "it got its share again"
    assert_in_order(journal, 400)


def test_messages_of_queues_reach_children(journal: Path) -> None:
    app = penstock.App(
        state=":memory:",
        queues={
            "jobs": {"visibility_timeout": 3, "dead_letter_queue": "dead", "max_receive_count": 2},
            "dead": {},
        },
        pool="process",
        workers=2,
    )
    app.function(timeout="2s")(hell.queue_handler)
    app.add(penstock.Mapping("queue:jobs", hell.queue_handler, batch_size=1))
    with app.background() as engine:
        engine.send("jobs", [*(f"{n}" for n in range(50)), "dies_with_failure"])
        until(lambda: len(engine.queues.browse("dead")) == 1)
        until(lambda: len(lines(journal, "H")) >= 50)
    # A call that the machine holds up for longer than it may take is made once more.
    assert set(lines(journal, "H")) == {("aws:sqs", f"{n}") for n in range(50)}


def lanes_mapping(**options: Any) -> penstock.Mapping:
    return penstock.Mapping(
        "stream:orders",
        hell.lane_handler,
        starting_position="TRIM_HORIZON",
        batch_size=3,
        parallelization_factor=5,
        **options,
    )


def ready(engine: penstock.Engine) -> None:
    until(lambda: all(child["state"] == "ready" for child in engine.children()))


def end_child(pid: int) -> None:
    """Kill a child that runs no call, and wait until it is dead."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not running(pid))


def handle(engine: penstock.Engine, journal: Path, numbers: range) -> None:
    """Put these, and wait until they were handled."""
    engine.put("orders", [(f"k{n % 50}", b"%d" % n) for n in numbers])
    until(lambda: {int(mark) for _, mark in lines(journal, "H")} >= set(numbers))
    harness.until_idle(engine)


def children_of_lanes(journal: Path) -> dict[str, list[int]]:
    """The children that ran each lane, in order, each change once."""
    homes: dict[str, list[int]] = defaultdict(list)
    for pid, lane in lines(journal, "C"):
        if homes[lane][-1:] != [int(pid)]:
            homes[lane].append(int(pid))
    return homes
