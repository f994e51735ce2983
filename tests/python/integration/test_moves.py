"""`penstock checkpoint set|skip|export|import`: on an owner and on a stopped directory, audited."""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.audit import Audit
from penstock.cli.main import main
from tests.services.environment import clean_environment

ROOT = Path(__file__).parents[3]
SHARD = "shardId-000000000000"


def gone(document: dict[str, Any]) -> None:
    """Stand for a destination that is not there any more."""
    raise LookupError("there is no such place")


class Bench:
    """An app on a state directory, and the command line beside it."""

    def __init__(self, home: Path) -> None:
        self.state = home / "state"
        self.seen: list[str] = []

    def app(self) -> penstock.App:
        app = penstock.App(state=self.state, streams={"orders": 1})

        @app.on(
            "stream:orders", batch_size=1, maximum_retry_attempts=0,
            starting_position="TRIM_HORIZON", on_failure=gone,
        )  # fmt: skip
        def handler(event: Any, context: Any) -> None:
            data = base64.b64decode(event["Records"][0]["kinesis"]["data"]).decode()
            self.seen.append(data)
            if data == "poison":
                raise ValueError(data)

        return app

    def cli(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "penstock", "checkpoint", *arguments, "--state", self.state],
            env=clean_environment(), capture_output=True, text=True, timeout=60, check=False,
            input=stdin,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def refused(self, *arguments: str, code: int = 2, stdin: str = "") -> str:
        """Give a command in this process, which takes a tenth of the time."""
        said, given = io.StringIO(), io.TextIOWrapper(io.BytesIO(stdin.encode()))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", said)
            patch.setattr(sys, "stdin", given)
            patch.setattr(warnings, "showwarning", warnings.showwarning)
            with pytest.raises(SystemExit) as left:
                main(["checkpoint", *arguments, "--state", str(self.state)])
        assert left.value.code == code, said.getvalue()
        return said.getvalue()

    def audit(self) -> list[dict[str, Any]]:
        return list(Audit(self.state).entries())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def saved(bench: Bench, mapping: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(bench.cli("show", mapping, "--json"))["rows"][0]
    return row


def run_to_rest(bench: Bench, records: list[str]) -> str:
    """Have an engine handle these records and end; give the mapping's id."""
    with bench.app().background() as engine:
        mapping = engine.prepared[0].id
        engine.put("orders", [("key", each) for each in records])
        until(lambda: len(bench.seen) >= len(records))
    return mapping


def test_skip_lets_a_shard_go_on_behind_a_destination_that_is_gone(bench: Bench) -> None:
    with bench.app().background() as engine:
        first, *_ = engine.put("orders", [("key", "poison"), ("key", "good")])

        def counters() -> dict[str, int]:
            found: dict[str, int] = engine.snapshot()["mappings"][0]["counters"]
            return found

        until(lambda: counters()["awaiting_delivery"] == 1 and len(bench.seen) == 2)
        before = saved(bench, "handler")
        assert before["checkpoint"]["position"] == "TrimHorizon"

        answer = json.loads(bench.cli("skip", "handler", SHARD, "--json"))
        number = first["sequence_number"]
        (skipped,) = answer["skipped"]
        assert (skipped["span"], skipped["records"]) == ([number, number], 1)
        after = saved(bench, "handler")
        assert after["fence"] > before["fence"]
        until(lambda: counters()["dropped"] == 1)

        engine.put("orders", [("key", "more")])
        until(lambda: bench.seen[-1] == "more")
        assert bench.cli("skip", "handler", SHARD) == ""
    asked, done, *_ = bench.audit()
    assert (asked["action"], asked["outcome"]) == ("checkpoint.skip", "asked")
    assert done["detail"]["dropped"][0]["span"] == [number, number]
    assert (done["outcome"], done["address"]) == ("done", "control socket")
    assert bench.seen.count("poison") == 1


def test_set_on_an_owner_reads_a_shard_again_under_a_new_fence(bench: Bench) -> None:
    with bench.app().background() as engine:
        first, *_ = engine.put("orders", [("key", each) for each in "abc"])
        until(lambda: len(bench.seen) == 3)
        fence = saved(bench, "handler")["fence"]
        bench.cli("set", "handler", SHARD, first["sequence_number"])
        until(lambda: len(bench.seen) == 5)
        until(lambda: saved(bench, "handler")["fence"] >= fence + 2)
    assert bench.seen == list("abcbc")


def test_set_on_a_stopped_directory_holds_at_the_next_start(bench: Bench) -> None:
    mapping = run_to_rest(bench, list("abc"))
    before = saved(bench, mapping)
    bench.cli("set", mapping, SHARD, "TRIM_HORIZON")
    after = saved(bench, mapping)
    assert after["checkpoint"]["position"] == "TrimHorizon"
    assert after["fence"] == before["fence"] + 1
    with bench.app().background():
        until(lambda: len(bench.seen) == 6)
    assert bench.seen == list("abcabc")
    done = bench.audit()[1]
    assert (done["action"], done["address"]) == ("checkpoint.set", "command line")
    assert done["before"][0]["checkpoint"] == before["checkpoint"]
    assert done["after"][0]["checkpoint"] == after["checkpoint"]


def test_export_and_import_put_things_back(bench: Bench) -> None:
    mapping = run_to_rest(bench, list("abc"))
    before = saved(bench, mapping)["checkpoint"]
    document = bench.cli("export", mapping)
    bench.cli("set", mapping, SHARD, "TRIM_HORIZON")
    bench.cli("import", mapping, "-", stdin=document)
    after = saved(bench, mapping)["checkpoint"]
    assert after.pop("fence") > before.pop("fence")
    assert after == before
    with bench.app().background() as engine:
        engine.put("orders", [("key", "d")])
        until(lambda: bench.seen[-1] == "d")
    assert bench.seen == list("abcd")


def test_what_cannot_be_moved_is_refused_and_nothing_changes(bench: Bench) -> None:
    mapping = run_to_rest(bench, list("abc"))
    before = saved(bench, mapping)
    number = before["checkpoint"]["position"]["After"]["sequence"]

    assert "PS111" in bench.refused("set", "nobody", SHARD, "TRIM_HORIZON")
    assert "its shards: " + SHARD in bench.refused("set", mapping, "shard-9", "LATEST")
    assert "is no position" in bench.refused("set", mapping, SHARD, "yesterday")
    assert "not a sequence number" in bench.refused("set", mapping, SHARD, "17")
    later = number[:-3] + str((int(number[-3:]) + 16) % 1000).zfill(3)
    assert "PS100" in bench.refused("set", mapping, SHARD, later)
    assert "not closed" in bench.refused("set", mapping, SHARD, "SHARD_END")
    assert "PS700" in bench.refused("skip", mapping, SHARD, code=1)

    whole = json.loads(bench.cli("export", mapping))
    row = whole["rows"][0]
    for change, said in (
        ({"version": 2}, "of version 2"),
        ({"format": "other"}, "not a document"),
        ({"extra": 1}, "members that nobody knows: extra"),
        ({"rows": []}, "no rows"),
        ({"rows": [row, row]}, "twice"),
        ({"rows": [row | {"shard": "shard-9"}]}, "another stream"),
        ({"rows": [row | {"checkpoint": row["checkpoint"] | {"incarnation": 1}}]},
         "another stream"),
        ({"rows": [row | {"checkpoint": row["checkpoint"] | {"more": 1}}]}, "nobody knows: more"),
        ({"rows": [row | {"checkpoint": row["checkpoint"] | {"fronts": [
            {"lane": 7, "first": "1", "records": 1, "attempts": 0, "request_id": 1}]}}]},
         "lane that is not there"),
    ):  # fmt: skip
        document = json.dumps(whole | change)
        assert said in bench.refused("import", mapping, "-", stdin=document)
    assert "not JSON" in bench.refused("import", mapping, "-", stdin="{")
    assert saved(bench, mapping) == before
    refused = [each for each in bench.audit() if each["outcome"] != "asked"]
    assert {each["outcome"] for each in refused} == {"refused"}


def test_directory_whose_owner_does_not_answer_is_left_alone(bench: Bench) -> None:
    mapping = run_to_rest(bench, ["a"])
    with bench.app().background():
        (bench.state / "control.sock").unlink()
        assert "PS301" in bench.cli("set", mapping, SHARD, "TRIM_HORIZON", code=1)
    assert saved(bench, mapping)["checkpoint"]["position"] != "TrimHorizon"


def test_commands_of_the_guide_run_as_they_stand(bench: Bench) -> None:
    guide = (ROOT / "docs/take-over.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    commands = [shlex.split(line) for line in "".join(blocks).splitlines()]
    assert [command[2] for command in commands] == ["show", "export", "set", "import", "skip"]
    with bench.app().background() as engine:
        engine.put("orders", [("key", "a")])
        until(lambda: bench.seen == ["a"])
        for command in commands:
            done = subprocess.run(
                [sys.executable, "-m", *command], cwd=bench.state.parent, env=clean_environment(),
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
