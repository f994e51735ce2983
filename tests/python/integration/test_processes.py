"""Handlers in processes of their own: crashes and hangs are charged to their batch and no other."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import penstock
from tests.python.integration import harness, hell

HEALTHY = 120
KEYS = 8
RETRIES = 2
GONE_WITHIN_S = 1.0


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers say what they have handled."""
    path = tmp_path / "journal"
    path.touch()
    monkeypatch.setenv("HELL_JOURNAL", str(path))
    return path


@pytest.mark.parametrize(
    ("pool", "handler", "harmful"),
    [
        ("process", hell.handler, (*hell.FAIL, *hell.DIE, *hell.HANG)),
        ("threads", hell.handler, hell.FAIL),
        ("threads", hell.async_handler, hell.FAIL),
    ],
    ids=["processes", "threads", "coroutines"],
)
def test_a_handler_from_hell_fails_its_own_record_and_no_other(
    pool: str,
    handler: Callable[..., Any],
    harmful: tuple[Callable[[Any], Any], ...],
    journal: Path,
    tmp_path: Path,
) -> None:
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
    harmless = hell.LIVE if pool == "process" else (hell.changes_the_event,)
    bad = [each.__name__ for each in (*harmful, *harmless)]
    marks = [str(n) for n in range(HEALTHY)]
    for place, name in enumerate(bad):
        marks.insert(place * 4 + 2, name)
    with app.background() as engine:
        engine.put("orders", [(f"k{n % KEYS}", m.encode()) for n, m in enumerate(marks)])
        sent = {m: f"k{n % KEYS}" for n, m in enumerate(marks)}
        harness.until_idle(engine, timeout_s=150)
        counters = engine.snapshot()["mappings"][0]["counters"]
    given_up = {each.__name__ for each in harmful}
    handled = lines(journal, "H")
    assert {mark for _, mark in handled} - given_up == set(marks) - given_up
    assert counters["delivered"] == len(given_up), f"{counters}"
    assert counters["succeeded"] == len(marks) - len(given_up)
    conditions = [json.loads(line) for line in failures.read_text().splitlines()]
    assert all(each["KinesisBatchInfo"]["batchSize"] == 1 for each in conditions)
    # Order: what was handled of a key came in the order in which it was put.
    seen: dict[str, list[int]] = defaultdict(list)
    for key, mark in handled:
        if mark in sent and mark not in given_up:
            place = marks.index(mark)
            if place not in seen[key]:
                seen[key].append(place)
    assert all(places == sorted(places) for places in seen.values())


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
    marks[3_717] = "dies_with_success"
    with app.background() as engine:
        engine.put("orders", [(f"k{n}", mark.encode()) for n, mark in enumerate(marks)])
        harness.until_idle(engine, timeout_s=120)
    calls = lines(journal, "C")
    bound = 2 * math.ceil(math.log2(records)) + 1 + RETRIES
    assert len(calls) <= bound, f"{len(calls)} calls, more than {bound}"
    assert {mark for _, mark in lines(journal, "H")} == set(marks) - {"dies_with_success"}
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


def test_children_are_replaced_between_batches(journal: Path) -> None:
    children = penstock.Children(maximum_invocations=3)
    app = penstock.App(
        state=":memory:", streams={"orders": 1}, pool="process", workers=1, children=children
    )
    app.add(mapping(batch_size=1))
    with app.background() as engine:
        engine.put("orders", [("k", b"%d" % n) for n in range(10)])
        harness.until_idle(engine)
    calls = [pid for pid, _ in lines(journal, "C")]
    assert [len([c for c in calls if c == pid]) for pid in dict.fromkeys(calls)] == [3, 3, 3, 1]
    assert [mark for _, mark in lines(journal, "H")] == [f"{n}" for n in range(10)]


def test_events_go_by_pipes_where_there_is_no_shared_memory(
    journal: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "memfd_create", full, raising=False)
    app = penstock.App(state=":memory:", streams={"orders": 1}, pool="process", workers=1)
    app.add(mapping(batch_size=100))
    with caplog.at_level(logging.WARNING), app.background() as engine:
        engine.put("orders", [("k", b"%d" % n) for n in range(1_000)])
        harness.until_idle(engine)
    assert [mark for _, mark in lines(journal, "H")] == [f"{n}" for n in range(1_000)]
    assert "no shared memory can be had" in caplog.text


def test_a_child_that_cannot_import_is_named_and_not_spun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fragile.py").write_text(
        "import os\n"
        "if 'FRAGILE' in os.environ:\n"
        "    raise LookupError('no database here')\n"
        "def handler(event, context):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import fragile  # type: ignore[import-not-found]

    monkeypatch.setenv("FRAGILE", "1")
    app = penstock.App(state=":memory:", streams={"orders": 1}, pool="process", workers=1)
    app.add(penstock.Mapping("stream:orders", fragile.handler, starting_position="TRIM_HORIZON"))
    with caplog.at_level(logging.ERROR, "penstock"), app.background() as engine:
        engine.put("orders", [("k", b"x")])
        until(lambda: engine.children()[0]["state"] == "failing")
        told = engine.children()[0]["message"]
        time.sleep(1.0)
        started = caplog.text.count("did not start")
        counters = engine.snapshot()["mappings"][0]["counters"]
    assert "LookupError: no database here" in told
    assert "fragile.py:3" in told
    assert started <= 3, "the child is started again and again"
    assert counters["invocations"] == 0, "no attempt may be charged"


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
        engine.send("jobs", [*(f"{n}" for n in range(50)), "dies_with_success"])
        until(lambda: len(engine.queues.browse("dead")) == 1)
        until(lambda: len(lines(journal, "H")) >= 50)
    # A call that the machine holds up for longer than it may take is made once more.
    assert set(lines(journal, "H")) == {("aws:sqs", f"{n}") for n in range(50)}


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_no_child_outlives_a_killed_parent(kills: int, journal: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.python.integration.test_processes", str(tmp_path)]
    outlived = []
    for kill in range(kills):
        with subprocess.Popen(program, stdout=subprocess.DEVNULL) as parent:
            seen = len(lines(journal, "C"))
            until(partial(has_more, journal, seen + 2))
            time.sleep(kill % 7 * 0.02)
            parent.send_signal(signal.SIGKILL)
        pids = {int(pid) for pid, _ in lines(journal, "C")}
        killed = time.monotonic()
        until(partial(all_are_gone, pids))
        outlived.append(time.monotonic() - killed)
    # The machine may hold up a few; a child that has to look for its parent is late every time.
    assert median(outlived) <= GONE_WITHIN_S, outlived
    app = parent_app(tmp_path)
    with app.background() as engine:
        harness.until_idle(engine, timeout_s=60)
    handled = {mark for _, mark in lines(journal, "H")}
    assert handled >= {f"{n}" for n in range(put_so_far(tmp_path))}, "records were lost"


def test_what_a_child_cannot_import_is_refused() -> None:
    app = penstock.App(state=":memory:", streams={"orders": 1}, pool="process")

    def local(event: Any, context: Any) -> None:
        """Cannot be found by its name."""

    for handler, reason in ((local, "local to another function"), (lambda e, c: None, "lambda")):
        with pytest.raises(penstock.ConfigurationError, match=reason) as refused:
            app.add(penstock.Mapping("stream:orders", handler, starting_position="LATEST"))
        assert refused.value.code == "PS117"


def mapping(**options: Any) -> penstock.Mapping:
    return penstock.Mapping(
        "stream:orders", hell.handler, starting_position="TRIM_HORIZON", **options
    )


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


def assert_in_order(journal: Path, count: int) -> None:
    """Everything was handled, and what is of one key in the order in which it was put."""
    handled = lines(journal, "H")
    assert {int(mark) for _, mark in handled} == set(range(count))
    seen: dict[str, list[int]] = defaultdict(list)
    for key, mark in handled:
        if int(mark) not in seen[key]:
            seen[key].append(int(mark))
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def all_are_gone(pids: set[int]) -> bool:
    return not any(map(running, pids))


def has_more(journal: Path, calls: int) -> bool:
    return len(lines(journal, "C")) > calls


def until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)


def lines(journal: Path, kind: str) -> list[tuple[str, str]]:
    text = journal.read_text().rpartition("\n")[0]
    split = [line.split(" ") for line in text.splitlines()]
    return [(first, second) for mark, first, second in split if mark == kind]


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def parent_app(folder: Path) -> penstock.App:
    app = penstock.App(state=folder / "state", streams={"orders": 2}, pool="process", workers=2)
    app.add(mapping(batch_size=20, parallelization_factor=2))
    return app


def put_so_far(folder: Path) -> int:
    path = folder / "put"
    return int(path.read_text()) if path.exists() else 0


def _parent(folder: Path) -> None:
    """Put and handle until somebody kills this process."""
    with parent_app(folder).background() as engine:
        while True:
            first = put_so_far(folder)
            engine.put("orders", [(f"k{n % KEYS}", b"%d" % n) for n in range(first, first + 50)])
            (folder / "put.new").write_text(str(first + 50))
            (folder / "put.new").replace(folder / "put")
            time.sleep(0.05)


if __name__ == "__main__":
    _parent(Path(sys.argv[1]))
