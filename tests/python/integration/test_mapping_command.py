"""`penstock mapping` works on a directory, on its owner and at a URL; files declare mappings."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from penstock.cli.state import open_state
from tests.python.integration.api_service import serving
from tests.services.environment import clean_environment

SOURCE = "arn:aws:penstock:::stream/orders"
CREATE = ("create", "--function", "my-function", "--source", "stream:orders",
          "--starting-position", "TRIM_HORIZON")  # fmt: skip


def mapping(
    home: Path, *arguments: str, code: int = 0, environment: dict[str, str] | None = None
) -> str:
    """Run `penstock mapping …`; gives its data, or what it said when it is to fail."""
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "mapping", *arguments],
        cwd=home,
        env=clean_environment() | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def listed(home: Path, *place: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(mapping(home, "list", "--json", *place))["mappings"]
    return found


def test_the_command_changes_a_directory_that_nobody_owns(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    subprocess.run(
        [sys.executable, "-m", "penstock", "stream", "create", "orders", *state],
        check=True, capture_output=True,
    )  # fmt: skip
    made = json.loads(mapping(tmp_path, *CREATE, "--batch-size", "7", "--json", *state))
    assert (made["BatchSize"], made["EventSourceArn"]) == (7, SOURCE)
    assert "PS120" in mapping(tmp_path, *CREATE, *state, code=2)
    assert mapping(tmp_path, "wait", "my-function", *state) == "Enabled\n"
    mapping(tmp_path, "pause", made["UUID"][:8], *state)
    assert listed(tmp_path, *state)[0]["State"] == "Disabled"
    mapping(tmp_path, "update", "my-function", "--enabled", "--batch-size", "9", *state)
    assert [(e["State"], e["BatchSize"]) for e in listed(tmp_path, *state)] == [("Enabled", 9)]
    assert "greater than or equal to 1" in mapping(
        tmp_path, "update", "my-function", "--batch-size", "0", *state, code=2
    )
    assert "PS111" in mapping(tmp_path, "show", "nothing", *state, code=2)
    mapping(tmp_path, "delete", "my-function", *state)
    assert listed(tmp_path, *state) == []


def test_the_command_forgets_the_checkpoints_of_what_it_deletes(tmp_path: Path) -> None:
    with serving(tmp_path, functions={"my-function": {}}, streams={"orders": 1}) as service:
        uuid = json.loads(mapping(tmp_path, *CREATE, "--json", "--url", service.url))["UUID"]
        assert mapping(tmp_path, "wait", uuid, "--url", service.url) == "Enabled\n"
        assert service.stop() == 0, service.tail()
    with open_state(tmp_path / "state") as opened:
        assert opened.checkpoints(uuid)["rows"] != []
    mapping(tmp_path, "delete", uuid, "--state", str(tmp_path / "state"))
    with open_state(tmp_path / "state") as opened:
        assert opened.checkpoints(uuid)["rows"] == []


def test_the_command_asks_the_owner_and_the_url(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    with serving(tmp_path, functions={"my-function": {}}, streams={"orders": 1}) as service:
        url = ("--url", service.url)
        made = json.loads(mapping(tmp_path, *CREATE, "--json", *url))
        assert mapping(tmp_path, "wait", made["UUID"], *state) == "Enabled\n"
        assert [each["Origin"] for each in listed(tmp_path, *state)] == ["api"]
        assert [each["UUID"] for each in listed(tmp_path, *url)] == [made["UUID"]]
        mapping(tmp_path, "pause", "my-function", *state)
        assert mapping(tmp_path, "wait", "my-function", *url) == "Disabled\n"
        mapping(tmp_path, "resume", "my-function", *url)
        assert mapping(tmp_path, "wait", "my-function", *state) == "Enabled\n"
        mapping(tmp_path, "delete", "my-function", *url)
        _until(lambda: listed(tmp_path, *url) == [])
        assert "PS700" in mapping(tmp_path, "list", "--url", "http://127.0.0.1:1", code=1)
        assert "PS102" in mapping(tmp_path, "list", "--url", "ftp://x", code=2)
        assert service.stop() == 0, service.tail()


def test_mappings_of_a_file_and_of_the_environment_run_and_say_where_they_are_from(
    tmp_path: Path,
) -> None:
    (tmp_path / "penstock.toml").write_text(
        '[[mappings]]\nsource = "stream:orders"\nfunction = "my-function"\nbatch-size = 3\n'
        'starting-position = "TRIM_HORIZON"\n\n'
        '[[mappings]]\nsource = "stream:orders"\nfunction = "other"\nbatch_size = 4\n'
        'starting_position = "TRIM_HORIZON"\n'
    )
    override = [
        {"source": "stream:orders", "function": "other", "batch_size": 8,
         "starting_position": "LATEST"},
    ]  # fmt: skip
    functions: dict[str, dict[str, Any]] = {"my-function": {}, "other": {}}
    with serving(
        tmp_path,
        functions=functions,
        streams={"orders": 1},
        environment={"PENSTOCK_MAPPINGS": json.dumps(override)},
    ) as service:
        found = {
            each["FunctionArn"].split(":function:")[1]: (each["BatchSize"], each["Origin"])
            for each in listed(tmp_path, "--state", str(tmp_path / "state"))
        }
        assert found == {
            "my-function": (3, "[[mappings]] in penstock.toml, number 1"),
            "other": (8, "PENSTOCK_MAPPINGS, number 1"),
        }
        refused = mapping(
            tmp_path, "update", "other", "--batch-size", "5", "--url", service.url, code=2
        )
        assert "comes from PENSTOCK_MAPPINGS, number 1; change it there" in refused
        assert service.stop() == 0, service.tail()


def _until(done: Any) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)
