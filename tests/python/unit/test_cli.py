"""Tests the command line: data, messages, exit codes, settings from four places."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import click
import pytest

from penstock.cli import bisection, why
from penstock.cli.main import cli, loaded, main
from penstock.cli.witness import Call, expected_calls_max
from tests.python.unit.fake_penstock import FakeRuntime

pytestmark = pytest.mark.usefixtures("fake_runtime", "_here")

APP = """
import penstock
app = penstock.App(streams={"orders": 1, "bad": 1})

@app.on("stream:orders", starting_position="TRIM_HORIZON", retry_attempts=0)
def handler(event, context):
    pass
"""
HANDLER = """
def handler(event, context):
    if event["Records"][0]["kinesis"]["partitionKey"] == "bad":
        raise ValueError("bad")

number = 5
"""


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("shop", "plain", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    Path("shop.py").write_text(APP)
    Path("plain.py").write_text(HANDLER)
    Path("broken.py").write_text("x = 1\nundefined_name\n")


class Ran:
    """What a command wrote, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        capsys.readouterr()
        self.code: Any = 0
        try:
            main(list(arguments))
        except SystemExit as leaving:
            self.code = leaving.code
        self.out, self.err = capsys.readouterr()


START = ("--source", "stream:orders", "--starting-position", "TRIM_HORIZON")


def test_an_app_runs_until_its_streams_are_empty(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "run", "shop:app", "--until-empty", "--state", "s")
    assert ran.code == 0
    assert ran.out == ""
    assert "handler ← stream:orders" in ran.err
    assert ran.err.splitlines()[-1].startswith("drained in ")
    assert Path("s").is_dir()


def test_log_lines_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "run", "shop:app", "--until-empty", "--log-format", "json")
    lines = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert {"timestamp", "level", "message"} <= set(lines[0])


DECLARED = {"source": "stream:orders", "function": "handler", "starting_position": "LATEST"}


def test_the_environment_goes_before_the_file_and_the_file_before_code(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fake_runtime: type[FakeRuntime],
) -> None:
    known = "0d5cb3f8-6b0d-4d6e-9b59-0a5d5b8c7a10"
    Path("shop.py").write_text(APP.replace("retry_attempts=0", f'batch_size=9, uuid="{known}"'))
    Path("penstock.toml").write_text(
        "[[mappings]]\n" + "".join(f'{key} = "{value}"\n' for key, value in DECLARED.items())
    )

    def started() -> dict[str, Any]:
        ran = Ran(capsys, "run", "shop:app", "--until-empty", "--log-format", "json")
        assert ran.code == 0, ran.err
        (mapping,) = fake_runtime.made[-1].mappings.values()
        monkeypatch.delitem(sys.modules, "shop")
        assert "goes before that of @app.on" in ran.err
        return mapping.document

    by_file = started()
    assert (by_file["StartingPosition"], by_file["UUID"]) == ("LATEST", known)
    assert by_file["BatchSize"] == 100, "a mapping stands back as a whole"
    monkeypatch.setenv("PENSTOCK_MAPPINGS", json.dumps([DECLARED | {"batch_size": 3}]))
    by_environment = started()
    assert (by_environment["BatchSize"], by_environment["UUID"]) == (3, known)


def test_a_mapping_of_the_command_line_goes_before_all_others(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fake_runtime: type[FakeRuntime],
) -> None:
    monkeypatch.setenv("PENSTOCK_MAPPINGS", json.dumps([DECLARED | {"batch_size": 3}]))
    monkeypatch.setattr("penstock.engine.Engine._shards_of", lambda self, each: 1)
    ran = Ran(capsys, "run", "plain.handler", *START, "--batch-size", "8", "--until-empty")
    assert ran.code == 0, ran.err
    (mapping,) = fake_runtime.made[-1].mappings.values()
    assert mapping.document["BatchSize"] == 8


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "shop"), "PS109", "names nothing to run"),
        (("run", "nothing:app"), "PS109", "there is no module nothing"),
        (("run", "shop:nothing"), "PS109", "shop has no nothing"),
        (("run", "broken:app"), "PS109", "NameError"),
        (("run", "plain.number"), "PS109", "neither a penstock.App nor a handler"),
        (("run", "plain.handler"), "PS113", "needs --source"),
        (("run", "plain.handler", "--source", "stream:o"), "PS113", "--starting-position"),
        (("run", "plain.handler", *START, "--batch-size", "ten"), "PS102", "--batch-size"),
        (("run", "plain.handler", *START, "--on-failure", "dove:q"), "PS106", "--on-failure"),
        (("run", "plain.handler", *START, "--max-record-age", "old"), "PS112", "-age"),
        (("run", "plain.handler", "--source", "sns:q", *START[2:]), "PS105", "SNS"),
        (("run", "shop:app", "--batch-size", "5"), "PS109", "--batch-size cannot be used"),
        (("run", "shop:app", "--max-time", "soon"), "PS112", "max_time"),
        (("why", "--state", "none"), "PS700", "no engine runs"),
        (("stream", "list", "--state", "none"), "PS300", "no state directory"),
    ],
)
def test_wrong_use_is_told_with_a_code(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: str, says: str
) -> None:
    ran = Ran(capsys, *arguments)
    assert ran.code == (1 if code in {"PS700", "PS300"} else 2)
    assert f"error[{code}]: " in ran.err
    assert says in ran.err
    assert ran.out == ""


def test_a_broken_module_is_told_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "broken.py:2" in Ran(capsys, "run", "broken:app").err


def test_clicks_own_refusals_have_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert Ran(capsys, "run").code == 2
    assert Ran(capsys, "nothing").code == 2
    assert Ran(capsys, "stream", "create", "a", "--shards", "0").code == 2


def test_discarded_records_have_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.cli.screen import Screen
    from tests.python.unit.fake_penstock import FakeRuntime

    def put(self: Screen, plan: Any) -> None:
        command = {"op": "put", "name": "orders", "records": [{"key": "bad", "data": ""}]}
        FakeRuntime.made[-1].streams(b'{"op": "create", "name": "orders", "shards": 1}')
        FakeRuntime.made[-1].streams(json.dumps(command).encode())

    monkeypatch.setattr(Screen, "plan", put)
    monkeypatch.setattr(FakeRuntime, "_described", lambda self, name: {"name": name, "shards": []})
    monkeypatch.setattr("penstock.engine.Engine._shards_of", lambda self, each: 1)
    ran = Ran(capsys, "run", "plain.handler", *START, "--retry-attempts", "0", "--until-empty")
    assert ran.code == 3
    assert "1 discarded" in ran.err
    assert "ValueError: bad" in ran.err
    assert "plain.py:4" in ran.err


def test_every_option_has_a_variable_shown_in_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = Ran(capsys, "run", "--help").out.replace("\n", "").replace(" ", "")
    for parameter in loaded("run").params:
        if isinstance(parameter, click.Option):
            assert isinstance(parameter.envvar, str)
            assert parameter.envvar.startswith("PENSTOCK_")
            assert parameter.envvar in text


def test_every_mapping_option_is_a_flag() -> None:
    from penstock.options import OPTIONS

    names = {parameter.name for parameter in loaded("run").params}
    assert set(OPTIONS) <= names


def test_the_command_line_goes_before_the_environment_and_that_before_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches(*more: str) -> str:
        ran = Ran(capsys, "run", "plain.handler", "--until-empty", "--state", ":memory:", *more)
        found = [line for line in ran.err.splitlines() if "error" in line or "batches of" in line]
        return found[0]

    Path("penstock.toml").write_text(
        'source = "stream:orders"\n[run]\nstarting-position = "TRIM_HORIZON"\nbatch_size = "11"\n'
    )
    monkeypatch.setattr("penstock.engine.Engine._shards_of", lambda self, each: 1)
    assert "batches of 11;" in batches()
    monkeypatch.setenv("PENSTOCK_BATCH_SIZE", "12")
    assert "batches of 12;" in batches()
    assert "batches of 13;" in batches("--batch-size", "13")


def test_a_wrong_setting_in_a_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text("[tool.penstock]\nsorce = 'stream:orders'\n")
    ran = Ran(capsys, "run", "plain.handler")
    assert ran.code == 2
    assert "did you mean source?" in ran.err
    Path("penstock.toml").write_text("state = \n")
    assert "is not TOML" in Ran(capsys, "run", "plain.handler").err


def test_version_tells_the_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert Ran(capsys, "version").out.startswith("penstock ")
    assert {"version", "python", "build"} <= set(json.loads(Ran(capsys, "version", "--json").out))


def test_streams_are_made_filled_and_followed_through_the_owner(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from penstock.app import App

    app = App(state=tmp_path / "s", streams={"orders": 1}, silence=["PS801"])
    app.on("stream:orders", starting_position="LATEST")(lambda event, context: None)
    with app.background():
        at = ("--state", str(tmp_path / "s"))
        assert Ran(capsys, "stream", "create", "more", "--shards", "1", *at).code == 0
        listed = json.loads(Ran(capsys, "stream", "list", "--json", *at).out)
        assert [each["name"] for each in listed["streams"]] == ["orders", "more"]
        ran = Ran(capsys, "stream", "put", "more", '{"id": 7}', '{"id": 8}', "--key-field", "id",
                  *at)  # fmt: skip
        assert ran.err == "put 2 records into more\n"
        Path("lines").write_text("one\ntwo\r\n")
        assert Ran(capsys, "stream", "put", "more", "--file", "lines", *at).code == 0
        told = ("stream", "tail", "more", "--from", "TRIM_HORIZON", "--no-follow", *at)
        assert Ran(capsys, *told).out.splitlines() == ['{"id": 7}', '{"id": 8}', "one", "two"]
        keys = [json.loads(line)["key"] for line in Ran(capsys, *told, "--json").out.splitlines()]
        assert keys[:2] == ["7", "8"]
        assert len(set(keys)) == 4
        limited = Ran(capsys, *told, "--limit", "1")
        assert limited.out == '{"id": 7}\n'
        described = json.loads(Ran(capsys, "stream", "describe", "more", "--json", *at).out)
        assert described["name"] == "more"
        assert Ran(capsys, "stream", "delete", "more", *at).code == 0
        missing = Ran(capsys, "stream", "describe", "more", *at)
        assert (missing.code, "PS203" in missing.err) == (1, True)
        unkeyed = Ran(capsys, "stream", "put", "orders", "x", "--key-field", "id", *at)
        assert (unkeyed.code, "record 1 has no field" in unkeyed.err) == (2, True)
        both = Ran(capsys, "stream", "put", "orders", "x", "--key", "a", "--key-field", "b", *at)
        assert both.code == 2
        reasons = Ran(capsys, "why", *at).out
        assert "waiting for records" in reasons
        document = json.loads(Ran(capsys, "why", "--json", *at).out)
        assert document["mappings"][0]["shards"][0]["stall"]["reason"] == "waiting_for_records"
        assert Ran(capsys, "why", "nobody", *at).code == 2
        assert Ran(capsys, "checkpoint", "show", "nobody", *at).code == 2
    assert [t.name for t in threading.enumerate() if t.name.startswith("penstock")] == []


@pytest.mark.parametrize("name", sorted(cli.list_commands(click.Context(cli))))
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], name: str) -> None:
    ran = Ran(capsys, name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: penstock {name}")


NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ({"reason": "in_handler", "invocation": 1, "attempt": 2, "overdue": True},
         "in the handler (attempt 2, longer than the function's timeout), for 42.0 s"),
        ({"reason": "backing_off", "error": "ValueError: no", "record": "7", "attempts": 3},
         "backing off after 3 attempts at record 7: ValueError: no"),
        ({"reason": "waiting_for_parents", "parents": ["a", "b"]}, "its parents a, b"),
        ({"reason": "throttled", "message": "slow down"}, "throttled by the source: slow down"),
        ({"reason": "source_failing", "fault": "denied", "message": "no"}, "fails (denied): no"),
        ({"reason": "waiting_for_records"}, "waiting for records"),
        ({"reason": "waiting_for_window"}, "batching window"),
        ({"reason": "no_free_worker"}, "every worker is busy"),
        ({"reason": "paused"}, "paused"),
        ({"reason": "draining"}, "draining"),
        ({"reason": "too_far_ahead"}, "slowest lane"),
        ({"reason": "buffer_full"}, "handlers must catch up"),
        ({"reason": "destination_failing", "message": "full"}, "destination fails: full"),
        ({"reason": "checkpoint_failing", "message": "full"}, "cannot be saved: full"),
        ({"reason": "waiting_for_lease", "message": ""}, "waiting for the lease"),
        ({"reason": "ended"}, "ended"),
    ],
)  # fmt: skip
def test_every_reason_has_words(reason: dict[str, Any], says: str) -> None:
    stall = reason | {"since": (NOW - 42) * 1000, "until": (NOW + 3) * 1000}
    text = why.sentence(stall, NOW)
    assert says in text
    assert text.endswith("for 42.0 s, until in 3.0 s")


def call(first: int, last: int, *, failed: bool = False) -> Call:
    return Call(
        shard="s", lane=0, first=first, last=last, size=last - first + 1, attempt=1, failed=failed
    )


def test_a_bisection_is_drawn_from_its_calls() -> None:
    calls = [
        call(1, 4, failed=True),
        call(1, 2, failed=True),
        call(1, 1),
        call(2, 2, failed=True),
        call(2, 2, failed=True),
        call(3, 4),
    ]
    assert list(bisection.drawn(calls)) == [
        "4 records  failed, split",
        "├─ 2 records  failed, split",
        "│  ├─ 1 record  ok",
        "│  └─ 1 record  failed 2 times, given up: the poison record",
        "└─ 2 records  ok",
    ]
    tree = bisection.as_data(calls)
    assert tree is not None
    assert tree["halves"][0]["halves"][1] == {"records": 1, "attempts": 2, "failed": True}
    assert bisection.tree([]) is None


@pytest.mark.parametrize(("size", "most"), [(1, 3), (2, 5), (100, 17), (1000, 23), (10_000, 31)])
def test_isolating_a_record_takes_few_calls(size: int, most: int) -> None:
    assert expected_calls_max(size, 2) == most
