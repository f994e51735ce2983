"""`penstock why`, from a second terminal, tells five different and true reasons."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.python.integration import harness
from tests.services.environment import clean_environment
from tests.services.wire import Scope, wire_server

OPTIONS = {"batch_size": 10, "starting_position": "TRIM_HORIZON"}


def _penstock(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _reasons(state: Path) -> dict[str, set[str]]:
    """Gather every reason of every shard and lane, by the function's name."""
    document: Any = json.loads(_penstock("why", "--state", str(state), "--json"))
    reasons: dict[str, set[str]] = {}
    for mapping in document["mappings"]:
        found = reasons.setdefault(mapping["handler"], set())
        if mapping.get("stall"):
            found.add(mapping["stall"]["reason"])
        for shard in mapping["shards"]:
            if shard.get("stall"):
                found.add(shard["stall"]["reason"])
            found.update(lane["stall"]["reason"] for lane in shard["lanes"] if lane.get("stall"))
    return reasons


def test_five_mappings_that_stand_still_have_five_reasons(tmp_path: Path) -> None:
    with wire_server() as server:
        client = server.client()
        for stream in ("sleeping", "failing", "throttled", "idle", "paused"):
            harness.create_stream(client, stream, 1)
            if stream != "idle":
                harness.Producer(client, stream, keys=1).put(20)
        server.throttle(Scope(operation="GetRecords", stream="throttled"))
        behaviours: dict[str, dict[str, Any]] = {
            "sleeping": {"sleep_ms": 60_000},
            "failing": {"failing_keys": ["key-0"]},
        }
        mappings = {
            name: {
                "source": f"kinesis:{name}",
                "options": OPTIONS,
                "behaviour": behaviours.get(name, {}),
            }
            for name in ("sleeping", "failing", "throttled", "idle", "paused")
        }
        mappings["paused"]["options"] = OPTIONS | {"enabled": False}
        plan: dict[str, Any] = {"mappings": mappings, "drain_timeout": 1}
        with harness.service(tmp_path, endpoint=server.url, **plan) as service:
            service.start()
            expected = {
                "sleeping": "in_handler",
                "failing": "backing_off",
                "throttled": "throttled",
                "idle": "waiting_for_records",
                "paused": "paused",
            }
            deadline = time.monotonic() + 60
            while True:
                time.sleep(1)
                if not (service.state / "penstock.db").exists():
                    continue
                reasons = _reasons(service.state)
                if all(reason in reasons.get(name, ()) for name, reason in expected.items()):
                    break
                assert time.monotonic() < deadline, f"{reasons}\n{service.tail()}"
            for name, reason in expected.items():
                others = {other for other in expected.values() if other != reason}
                strange = reasons[name] & (others - {"waiting_for_records"})
                assert not strange, f"{name} also says {strange}"
            text = _penstock("why", "--state", str(service.state))
            assert "ValueError" in text, "the failing handler's error is named"
