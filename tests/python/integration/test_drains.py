"""A drained service has saved all that it settled: nothing comes again after the restart."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.python.integration import harness, observer
from tests.services.wire import wire_server


def _drains(times: int, home: Path, seed: int, *, failing: bool) -> None:
    chance = random.Random(seed)
    with wire_server() as endpoint:
        client = endpoint.client()
        harness.create_stream(client, "orders", 2)
        producer = harness.Producer(client, "orders", keys=40)
        behaviour: dict[str, object] = {"sleep_ms": 10}
        options = {
            "batch_size": 20,
            "parallelization_factor": 4,
            "starting_position": "TRIM_HORIZON",
        }
        mapping = {"source": "kinesis:orders", "options": options, "behaviour": behaviour}
        with harness.service(home, endpoint=endpoint.url, mappings={"all": mapping}) as service:
            for number in range(times):
                # While one lane backs off, the others run ahead of it.
                if failing and number % 2 == 0:
                    behaviour["failing_keys"] = ["key-3"]
                else:
                    behaviour.pop("failing_keys", None)
                before = len(service.lines())
                service.start()
                producer.put(300)
                service.until_lines(more_than=before)
                time.sleep(chance.uniform(0.0, 0.6))
                assert service.terminate() == 0, service.tail()
            behaviour.pop("failing_keys", None)
            service.start()
            service.until_started()
            service.until_handled(producer.puts, "all", 90)
            assert service.terminate() == 0, service.tail()
            # No life was killed, so not one record may come twice.
            observer.check_all(service.journal, producer.puts, ["all"])


def test_drains_repeat_nothing(tmp_path: Path) -> None:
    _drains(5, tmp_path, seed=1, failing=False)


def test_drains_with_a_lane_backing_off_repeat_nothing(tmp_path: Path) -> None:
    _drains(5, tmp_path, seed=2, failing=True)


@pytest.mark.slow
@pytest.mark.parametrize("failing", [False, True])
def test_twenty_drains_repeat_nothing(tmp_path: Path, *, failing: bool) -> None:
    _drains(20, tmp_path, seed=3, failing=failing)
