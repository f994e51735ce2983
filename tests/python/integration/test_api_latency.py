"""Looking at mappings stays quick while a handler computes on a thread of the same process."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.python.integration import observer
from tests.python.integration.api_service import serving
from tests.python.integration.test_api_updates import put_embedded
from tests.takes import least

SOURCE = "arn:aws:penstock:::stream/orders"
PATH = "/2015-03-31/event-source-mappings"
LIMIT_S = 0.05
LOOKS = 200
# The machine that tests run on is shared: one quiet stretch is enough to show what it can do.
ROUNDS = 40


def test_looking_is_quick_while_a_handler_computes(tmp_path: Path) -> None:
    functions = {"busy": {"compute_ms": 60_000}, "idle": {}}
    with serving(tmp_path, functions=functions, streams={"orders": 1}) as service:
        client = service.client()
        for name, enabled in (("busy", True), ("idle", False)):
            made = client.create_event_source_mapping(
                EventSourceArn=SOURCE,
                FunctionName=name,
                StartingPosition="TRIM_HORIZON",
                Enabled=enabled,
            )
            service.until_state(client, made["UUID"], "Enabled" if enabled else "Disabled")
        put_embedded(tmp_path, range(1))
        deadline = time.monotonic() + 60
        while not observer.read_journal(service.journal):
            assert time.monotonic() < deadline, service.tail()
            time.sleep(0.02)
        url = f"{PATH}/{made['UUID']}"
        slowest = least(lambda: _p99(service.url, url), LIMIT_S, takes=ROUNDS)
        assert all(line.mark == "B" for line in observer.read_journal(service.journal))
    assert slowest <= LIMIT_S


def _p99(url: str, path: str) -> float:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
    times = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        times.append(time.perf_counter() - started)
        assert answer.status == 200
    connection.close()
    return sorted(times)[LOOKS * 99 // 100 - 1]
