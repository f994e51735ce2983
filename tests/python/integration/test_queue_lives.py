"""A service on an embedded queue that is killed or drained, again and again: nothing is lost."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock import _bridge
from penstock.queues import Queues
from penstock.settings import Settings
from tests.python.integration import harness, observer
from tests.python.integration.observer import Put

VISIBILITY_S = 2


@contextmanager
def opened(home: Path) -> Iterator[Queues]:
    """Open the queues of a service that does not run."""
    document = Settings(state=home / "state").runtime_document({}, "warn")
    runtime = _bridge.Runtime(json.dumps(document).encode())
    try:
        yield Queues(runtime.queues)
    finally:
        runtime.close(5.0)


def filled(home: Path, name: str, count: int, keys: int) -> list[Put]:
    """Make a queue and send numbered messages of many groups, each group's in order."""
    puts = [Put(id=i, key=f"key-{i % keys}", n=i // keys) for i in range(count)]
    with opened(home) as queues:
        queues.create(name, {"visibility_timeout": VISIBILITY_S})
        queues.send(name, (_message(put, fifo=name.endswith(".fifo")) for put in puts))
    return puts


def _message(put: Put, *, fifo: bool) -> dict[str, Any]:
    body = json.dumps({"id": put.id, "key": put.key, "n": put.n})
    if not fifo:
        return {"MessageBody": body}
    return {
        "MessageBody": body,
        "MessageGroupId": put.key,
        "MessageDeduplicationId": str(put.id),
    }


def mapping(name: str) -> dict[str, Any]:
    return {
        "source": f"queue:{name}",
        "options": {"batch_size": 10},
        "behaviour": {"sleep_ms": 20},
    }


def _kills(times: int, home: Path, name: str, seed: int) -> None:
    chance = random.Random(seed)
    count = 1_000 if times <= 5 else 4_000
    puts = filled(home, name, count, keys=50)
    with harness.service(home, mappings={"all": mapping(name)}) as service:
        for _ in range(times):
            before = len(service.lines())
            service.start()
            service.until_lines(more_than=before)
            time.sleep(chance.uniform(0.0, 0.4))
            service.kill()
            if observer.handled(service.lines(), "all") >= {put.id for put in puts}:
                break
        service.start()
        service.until_started()
        service.until_handled(puts, "all", 120)
        assert service.terminate() == 0, service.tail()
        lines = service.lines()
        observer.check_nothing_lost(lines, puts, "all")
        observer.check_repeats(lines, service.kills, "all")
        if name.endswith(".fifo"):
            observer.check_order(lines, "all")
            observer.check_never_together(lines, "all")


@pytest.mark.parametrize("name", ["orders", "orders.fifo"])
def test_five_kills_lose_nothing(tmp_path: Path, name: str) -> None:
    _kills(5, tmp_path, name, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orders", "orders.fifo"])
def test_twenty_kills_lose_nothing(tmp_path: Path, name: str) -> None:
    _kills(20, tmp_path, name, seed=20)


def _drains(times: int, home: Path, name: str, seed: int) -> None:
    chance = random.Random(seed)
    puts = filled(home, name, 200 * times, keys=40)
    with harness.service(home, mappings={"all": mapping(name)}) as service:
        for _ in range(times):
            before = len(service.lines())
            service.start()
            service.until_lines(more_than=before)
            time.sleep(chance.uniform(0.0, 0.3))
            assert service.terminate() == 0, service.tail()
            with opened(home) as queues:
                hidden = queues.describe(name)["in_flight"]
                assert hidden == 0, f"{hidden} messages were not given back"
            if observer.handled(service.lines(), "all") >= {put.id for put in puts}:
                break
        else:
            service.start()
            service.until_started()
            service.until_handled(puts, "all", 90)
            assert service.terminate() == 0, service.tail()
        # No life was killed, so not one message may be handled twice.
        lines = service.lines()
        observer.check_nothing_lost(lines, puts, "all")
        observer.check_repeats(lines, {}, "all")


@pytest.mark.parametrize("name", ["orders", "orders.fifo"])
def test_drains_leave_nothing_hidden_and_repeat_nothing(tmp_path: Path, name: str) -> None:
    _drains(3, tmp_path, name, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orders", "orders.fifo"])
def test_twenty_drains_leave_nothing_hidden(tmp_path: Path, name: str) -> None:
    _drains(20, tmp_path, name, seed=2)
