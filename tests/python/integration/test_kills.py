"""A killed service goes on where it was: nothing lost, order kept, little repeated."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.python.integration import harness, observer
from tests.services.wire import wire_server

RECORDS = 20_000


def _lives(kills: int, home: Path, seed: int) -> None:
    chance = random.Random(seed)
    with wire_server() as endpoint:
        client = endpoint.client()
        harness.create_stream(client, "orders", 4)
        producer = harness.Producer(client, "orders", keys=100)
        options = {
            "batch_size": 100,
            "parallelization_factor": 4,
            "starting_position": "TRIM_HORIZON",
        }
        mapping = {
            "source": "kinesis:orders",
            "options": options,
            "behaviour": {"sleep_ms": 25},
        }
        mappings = {"all": mapping}
        with harness.service(home, endpoint=endpoint.url, mappings=mappings) as service:
            for number in range(kills):
                before = len(service.lines())
                service.start()
                producer.put(RECORDS // (kills + 1))
                if number == kills // 2:
                    harness.split(client, "orders", 0)
                service.until_lines(more_than=before)
                time.sleep(chance.uniform(0.0, 0.8))
                service.kill()
            service.start()
            producer.put(RECORDS - len(producer.puts))
            service.until_handled(producer.puts, "all", 120)
            assert service.terminate() == 0, service.tail()
            observer.check_all(service.journal, producer.puts, mappings, service.kills)


def test_five_kills_lose_nothing(tmp_path: Path) -> None:
    _lives(5, tmp_path, seed=5)


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path: Path) -> None:
    _lives(20, tmp_path, seed=20)
