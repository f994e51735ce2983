"""Tests who brings mappings from state to state, and the settings of the mapping API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.errors import CheckpointError, ConfigurationError
from penstock.mappings import conductor as module
from penstock.mappings.conductor import Conductor
from penstock.mappings.kept import Kept
from penstock.settings import make_settings, parse_address
from tests.python.unit.api_stage import KINESIS, MAPPINGS, TABLE, Stage


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Give a stage whose mappings a real conductor moves, and which tries again soon."""
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    stage = Stage()
    conductor = Conductor(stage.driver)
    conductor.serve(stage.service)
    stage.service._wake = conductor.wake
    yield stage
    conductor.stop(2.0)


def test_a_mapping_comes_to_rest_by_itself(staged: Stage) -> None:
    uuid = staged.create().body["UUID"]
    _until(lambda: _found(staged, uuid)["State"] == "Enabled")
    staged.ask("PUT", f"{MAPPINGS}/{uuid}", {"Enabled": False})
    _until(lambda: _found(staged, uuid)["State"] == "Disabled")
    staged.ask("DELETE", f"{MAPPINGS}/{uuid}")
    _until(lambda: staged.ask("GET", f"{MAPPINGS}/{uuid}").status == 404)
    assert staged.driver.running == {}


def test_what_fails_is_said_and_tried_again(staged: Stage) -> None:
    staged.driver.broken.add(KINESIS)
    uuid = staged.create().body["UUID"]
    _until(lambda: "cannot be reached" in _found(staged, uuid)["LastProcessingResult"])
    assert _found(staged, uuid)["State"] == "Enabled"
    staged.driver.broken.clear()
    _until(lambda: uuid in staged.driver.running)


def test_a_slow_mapping_holds_up_no_other(staged: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, apply = threading.Event(), type(staged.driver).apply

    def slow(driver: Any, mapping: Kept, ready: Any) -> None:
        if mapping.source == TABLE:
            go_on.wait(20)
        apply(driver, mapping, ready)

    monkeypatch.setattr(type(staged.driver), "apply", slow)
    waiting = staged.create(EventSourceArn=TABLE).body["UUID"]
    quick = staged.create().body["UUID"]
    _until(lambda: _found(staged, quick)["State"] == "Enabled")
    assert _found(staged, waiting)["State"] == "Creating"
    go_on.set()
    _until(lambda: _found(staged, waiting)["State"] == "Enabled")


def test_a_mapping_is_gone_only_when_its_checkpoints_are(
    staged: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = threading.Event()
    full.set()

    def forget(driver: Any, uuid: str) -> None:
        if full.is_set():
            raise CheckpointError("the disk is full", code="PS304")

    monkeypatch.setattr(type(staged.driver), "forget", forget)
    uuid = staged.create().body["UUID"]
    _until(lambda: _found(staged, uuid)["State"] == "Enabled")
    staged.ask("DELETE", f"{MAPPINGS}/{uuid}")
    _until(lambda: staged.driver.running == {})
    time.sleep(0.2)
    assert _found(staged, uuid)["State"] == "Deleting"
    full.clear()
    _until(lambda: staged.ask("GET", f"{MAPPINGS}/{uuid}").status == 404)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("9401", "127.0.0.1:9401"), (0, "127.0.0.1:0"), ("localhost:1", "localhost:1"),
     ("[::1]:80", "[::1]:80"), ("127.0.0.2:65535", "127.0.0.2:65535")],
)  # fmt: skip
def test_addresses_of_this_machine_are_served(text: str | int, shown: str) -> None:
    assert str(parse_address(text)) == shown


@pytest.mark.parametrize("text", ["0.0.0.0:9401", "[::]:9401", "10.0.0.1:80", "example.org:80"])
def test_other_addresses_are_refused_without_a_token(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_settings(api=text)
    assert caught.value.code == "PS103"
    assert "--api-token" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["", "port", "1:2:x", "65536", "-1", "localhost:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_address(text)
    assert caught.value.code == "PS102"


@pytest.mark.parametrize(
    "alias",
    [
        {"source": "dynamodb:orders"},
        {"source": "stream:orders"},
        {"source": "kinesis:orders", "endpoint": "not a URL"},
        {"source": "kinesis:orders", "endpoint": "http://127.0.0.1:1/path"},
        {"endpoint": "http://127.0.0.1:1"},
        {"source": "kinesis:orders", "nonsense": "x"},
        "kinesis:orders",
    ],
)
def test_an_alias_that_makes_no_sense_is_refused(alias: Any) -> None:
    with pytest.raises(ConfigurationError):
        make_settings(aliases={KINESIS: alias})


def _found(stage: Stage, uuid: str) -> dict[str, Any]:
    body: dict[str, Any] = stage.ask("GET", f"{MAPPINGS}/{uuid}").body
    return body


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
