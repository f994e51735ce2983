"""Holds the mapping API against a model: thousands of random operations, with restarts between.

The model knows what AWS documents and nothing of the implementation: which mappings there are, in
which state, with which members, which operations are refused and how, and that a restart changes
none of it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from penstock.mappings.store import Store
from tests.python.unit.api_stage import KINESIS, MAPPINGS, QUEUE, TABLE, Stage

STEPS = 50

SOURCES = (KINESIS, TABLE, QUEUE)
FUNCTIONS = ("my-function", "my-function:live", "other")
STREAM_ONLY = ("ParallelizationFactor", "MaximumRetryAttempts")
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "BatchSize": st.integers(0, 12),
        "MaximumBatchingWindowInSeconds": st.sampled_from((0, 5, 301)),
        "ParallelizationFactor": st.integers(1, 11),
        "MaximumRetryAttempts": st.sampled_from((-1, 0, 3)),
        "Enabled": st.booleans(),
        "FilterCriteria": st.sampled_from(({}, {"Filters": []}, {"Filters": [{"Pattern": "{}"}]})),
        "Nonsense": st.just(1),
    },
)
TAGS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=2)


@dataclass
class Expected:
    """One mapping, as the model knows it."""

    source: str
    function: str
    state: str
    enabled: bool
    members: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def is_queue(self) -> bool:
        return self.source == QUEUE

    def broken(self, change: dict[str, Any]) -> bool:
        """Whether a change is refused for its values."""
        if not change.get("BatchSize", 1) >= 1 or change.get("ParallelizationFactor", 1) > 10:
            return True
        if change.get("MaximumBatchingWindowInSeconds", 0) > 300:
            return True
        if not self.is_queue:
            return False
        after = self.members | change
        size, window = after["BatchSize"], after["MaximumBatchingWindowInSeconds"]
        return any(name in change for name in STREAM_ONLY) or (size > 10 and window == 0)

    def apply(self, change: dict[str, Any]) -> None:
        """Take a change over."""
        for name, value in change.items():
            if name in {"Enabled", "Nonsense"}:
                continue
            if name == "FilterCriteria" and not value.get("Filters"):
                self.members.pop(name, None)
            else:
                self.members[name] = value
        self.enabled = change.get("Enabled", self.enabled)


class MappingApi(RuleBasedStateMachine):
    """The operations, each done to the API and to the model."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name))
        self.stage = Stage(self.store)
        self.known: dict[str, Expected] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(
        target=ids,
        source=st.sampled_from(SOURCES),
        function=st.sampled_from(FUNCTIONS),
        change=CHANGES,
        tags=TAGS,
    )
    def create(self, source: str, function: str, change: dict[str, Any], tags: Any) -> Any:
        members: dict[str, Any] = {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 0}
        if source == QUEUE:
            members["BatchSize"] = 10
        else:
            members |= {"ParallelizationFactor": 1, "MaximumRetryAttempts": -1}
        made = Expected(source, function, "Creating", True, members, dict(tags))
        start: Any = ... if source == QUEUE else "LATEST"
        answer = self.stage.create(
            EventSourceArn=source,
            FunctionName=function,
            StartingPosition=start,
            Tags=tags,
            **change,
        )
        twins = [e for e in self.known.values() if (e.source, e.function) == (source, function)]
        if made.broken(change):
            assert answer.status == 400
            return multiple()
        if twins:
            assert answer.status == 409
            return multiple()
        assert answer.status == 202, answer.body
        made.apply(change)
        if made.is_queue and not made.enabled:
            made.state = "Disabled"
        self._compare(answer.body, made)
        self.known[answer.body["UUID"]] = made
        return answer.body["UUID"]

    @rule(uuid=ids, change=CHANGES)
    def update(self, uuid: str, change: dict[str, Any]) -> None:
        answer = self.stage.ask("PUT", f"{MAPPINGS}/{uuid}", change)
        before = self.known.get(uuid)
        if before is None:
            assert answer.status == 404
        elif _model_refuses(change):
            assert answer.status == 400
        elif before.state not in {"Enabled", "Disabled"}:
            assert (answer.status, answer.type) == (400, "ResourceInUseException")
        elif before.broken(change):
            assert answer.status == 400
        else:
            assert answer.status == 202, answer.body
            was = before.enabled
            before.apply(change)
            states = {(True, True): "Updating", (False, False): "Updating",
                      (False, True): "Enabling", (True, False): "Disabling"}  # fmt: skip
            before.state = states[was, before.enabled]
            self._compare(answer.body, before)

    @rule(uuid=ids)
    def delete(self, uuid: str) -> None:
        answer = self.stage.ask("DELETE", f"{MAPPINGS}/{uuid}")
        before = self.known.get(uuid)
        if before is None:
            assert answer.status == 404
        elif before.state not in {"Enabled", "Disabled"}:
            assert (answer.status, answer.type) == (400, "ResourceInUseException")
        else:
            assert answer.status == 202
            before.state, before.enabled = "Deleting", False
            self._compare(answer.body, before)

    @rule(uuid=ids, tags=TAGS, gone=st.sampled_from("abc"))
    def tag(self, uuid: str, tags: dict[str, str], gone: str) -> None:
        arn = f"arn:aws:lambda:us-east-2:123456789012:event-source-mapping:{uuid}"
        place = f"/2017-03-31/tags/{quote(arn, safe='')}"
        wanted = 204 if uuid in self.known else 404
        assert self.stage.ask("POST", place, {"Tags": tags}).status == wanted
        assert self.stage.ask("DELETE", f"{place}?tagKeys={gone}").status == wanted
        if uuid in self.known:
            there = self.known[uuid].tags
            there |= tags
            there.pop(gone, None)
            assert self.stage.ask("GET", place).body == {"Tags": there}

    @rule()
    def settle(self) -> None:
        self.stage.settle()
        self._settled()

    @rule(uuid=consumes(ids))
    def look(self, uuid: str) -> None:
        answer = self.stage.ask("GET", f"{MAPPINGS}/{uuid}")
        assert answer.status == (200 if uuid in self.known else 404)

    @rule()
    def restart(self) -> None:
        """What was in between goes on, and everything else is as it was."""
        self.store.close()
        self.store = Store(Path(self.folder.name))
        self.stage = Stage(self.store)
        self.stage.service.load([])
        self._listed()
        self.stage.settle()
        self._settled()

    @invariant()
    def _listed(self) -> None:
        listed = self.stage.ask("GET", MAPPINGS).body["EventSourceMappings"]
        assert [each["UUID"] for each in listed] == list(self.known)
        for each in listed:
            self._compare(each, self.known[each["UUID"]])

    def _settled(self) -> None:
        for uuid, expected in list(self.known.items()):
            if expected.state == "Deleting":
                del self.known[uuid]
            else:
                expected.state = "Enabled" if expected.enabled else "Disabled"

    def _compare(self, body: dict[str, Any], expected: Expected) -> None:
        assert body["State"] == expected.state
        assert body["EventSourceArn"] == expected.source
        assert body["FunctionArn"].split(":function:")[1] == expected.function
        for name in ("BatchSize", "MaximumBatchingWindowInSeconds", *STREAM_ONLY, "FilterCriteria"):
            assert body.get(name) == expected.members.get(name), name


def _model_refuses(change: dict[str, int]) -> bool:
    """Whether the constraints of the API's model refuse a change, whatever the mapping is."""
    return (
        change.get("BatchSize", 1) < 1
        or change.get("ParallelizationFactor", 1) > 10
        or change.get("MaximumBatchingWindowInSeconds", 0) > 300
    )


@pytest.mark.parametrize("operations", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_the_api_does_what_the_model_does(operations: int) -> None:
    run_state_machine_as_test(
        MappingApi,
        settings=settings(
            max_examples=operations // STEPS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
