"""Queues of SQS through the whole stack, on our server and on two that others wrote.

Nothing is lost, groups keep their order, a poison message is in the dead-letter queue after exactly
as many receives as the policy says; neither kills nor drains lose anything or leave it hidden.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.python.integration import harness, queues
from tests.python.integration.queues import ELASTICMQ, MINISTACK, OURS, Queue

STANDARD, FIFO, GROUPS = 5_000, 2_000, 200
RECEIVES = 3
REPORTS = {"function_response_types": ["ReportBatchItemFailures"]}
SLOW = pytest.mark.slow


def _poison(home: Path, name: str, count: int, groups: int) -> None:
    """One message that cannot be handled among many that can."""
    suffix = ".fifo" if groups else ""
    with queues.server(name) as endpoint:
        client = endpoint.client("sqs")
        dead = Queue(client, f"dead{suffix}")
        policy = queues.redrive(dead, RECEIVES)
        orders = Queue(
            client, f"orders{suffix}", {"VisibilityTimeout": "2", "RedrivePolicy": policy}
        )
        mapping = {
            "source": f"sqs:{orders.name}",
            "options": REPORTS,
            "behaviour": {"reports": True},
        }
        with harness.service(home, endpoint=endpoint.url, mappings={"all": mapping}) as service:
            # The last of its group: what follows a failure in a group fails with it.
            bad = count - 1
            orders.send(count, groups=groups, poison=bad)
            service.start()
            wanted = set(orders.sent) - {bad}
            service.until(lambda: wanted <= queues.handled(service.lines()), "all are handled", 120)
            orders.until_empty()
            assert service.terminate() == 0, service.tail()
        lines = service.lines()
        if groups:
            queues.check_order(lines)
        assert bad not in queues.handled(lines)
        assert sum(line.id == bad and line.mark == "F" for line in lines) == RECEIVES
        (moved,) = dead.take_all()
        assert f'"id": {bad},' in moved["Body"]


@pytest.mark.parametrize(
    "name", [OURS, pytest.param(ELASTICMQ, marks=SLOW), pytest.param(MINISTACK, marks=SLOW)]
)
def test_a_standard_queue_is_drained_but_for_the_poison(name: str, tmp_path: Path) -> None:
    _poison(tmp_path, name, STANDARD, groups=0)


@pytest.mark.parametrize(
    "name", [OURS, pytest.param(ELASTICMQ, marks=SLOW), pytest.param(MINISTACK, marks=SLOW)]
)
def test_groups_keep_their_order_around_the_poison(name: str, tmp_path: Path) -> None:
    _poison(tmp_path, name, FIFO, groups=GROUPS)


def _kills(home: Path, name: str, kills: int, groups: int) -> None:
    chance = random.Random(kills)
    with queues.server(name) as endpoint:
        client = endpoint.client("sqs")
        orders = Queue(client, "orders.fifo" if groups else "orders", {"VisibilityTimeout": "2"})
        mapping = {
            "source": f"sqs:{orders.name}",
            "options": {},
            "behaviour": {"sleep_ms": 20},
        }
        with harness.service(home, endpoint=endpoint.url, mappings={"all": mapping}) as service:
            for _ in range(kills):
                before = len(service.lines())
                service.start()
                orders.send(2_000 // (kills + 1), groups=groups)
                service.until_lines(more_than=before)
                time.sleep(chance.uniform(0.0, 0.5))
                service.kill()
            service.start()
            service.until_started()
            wanted = set(orders.sent)
            service.until(lambda: wanted <= queues.handled(service.lines()), "all are handled", 120)
            orders.until_empty()
            assert service.terminate() == 0, service.tail()
        if groups:
            queues.check_order(service.lines())


def test_five_kills_lose_no_message(tmp_path: Path) -> None:
    _kills(tmp_path, OURS, 5, groups=50)


# Twenty kills over groups take ministack longer than a test may.
@SLOW
@pytest.mark.parametrize(
    ("name", "groups"),
    [(OURS, 0), (OURS, 50), (ELASTICMQ, 0), (ELASTICMQ, 50), (MINISTACK, 0)],
)
def test_twenty_kills_lose_no_message(name: str, groups: int, tmp_path: Path) -> None:
    _kills(tmp_path, name, 20, groups)


def _drains(home: Path, name: str, drains: int) -> None:
    """A drain leaves nothing in flight, though it comes while everything is busy."""
    chance = random.Random(drains)
    with queues.server(name) as endpoint:
        client = endpoint.client("sqs")
        orders = Queue(client, "orders", {"VisibilityTimeout": "60"})
        mapping = {"source": "sqs:orders", "options": {}, "behaviour": {"sleep_ms": 50}}
        with harness.service(home, endpoint=endpoint.url, mappings={"all": mapping}) as service:
            for _ in range(drains):
                before = len(service.lines())
                orders.send(1_000)
                service.start()
                service.until_lines(more_than=before)
                time.sleep(chance.uniform(0.0, 0.5))
                assert service.terminate() == 0, service.tail()
                ended = time.monotonic()
                while (hidden := orders.depths()[1]) > 0:
                    # What a drain forgot would be hidden for a minute.
                    assert time.monotonic() - ended < 20, f"{hidden} are hidden after the drain"
        begun = {line.id for line in service.lines() if line.mark == "B"}
        lines = service.lines()
        assert begun == queues.handled(lines)
        assert len(begun) == sum(line.mark == "E" for line in lines), "nothing is handled twice"
        visible, _ = orders.depths()
        assert visible + len(begun) == len(orders.sent), "what was handled is deleted"


def test_drains_leave_nothing_hidden(tmp_path: Path) -> None:
    _drains(tmp_path, OURS, 3)


@SLOW
@pytest.mark.parametrize("name", [OURS, ELASTICMQ, MINISTACK])
def test_twenty_drains_leave_nothing_hidden(name: str, tmp_path: Path) -> None:
    _drains(tmp_path, name, 20)
