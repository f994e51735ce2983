"""Holds two judges together: the API's rules for streams, and the engine's own parser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock import _bridge
from penstock.api.validation import table
from penstock.errors import ConfigurationError
from penstock.options import _LATER, snake
from penstock.pollers import NOT_THE_ENGINES, Pollers
from penstock.settings import make_settings
from tests.python.unit.api_stage import MAPPINGS, Stage

STREAM = "arn:aws:penstock:::stream/orders"
VALUES: list[tuple[str, Any]] = [
    *(("BatchSize", n) for n in (0, 1, 100, 10_000, 10_001)),
    *(("MaximumBatchingWindowInSeconds", n) for n in (-1, 0, 300, 301)),
    *(("ParallelizationFactor", n) for n in (0, 1, 10, 11)),
    *(("MaximumRetryAttempts", n) for n in (-2, -1, 0, 10_000, 10_001)),
    *(("MaximumRecordAgeInSeconds", n) for n in (-2, -1, 0, 59, 60, 604_800, 604_801)),
    *(("BisectBatchOnFunctionError", b) for b in (True, False)),
    ("FunctionResponseTypes", []),
    ("FunctionResponseTypes", ["ReportBatchItemFailures"]),
    ("FunctionResponseTypes", ["Bad"]),
    *(("StartingPosition", v) for v in ("LATEST", "TRIM_HORIZON", "AT_TIMESTAMP", "BEGINNING")),
    ("StartingPositionTimestamp", 1),
    ("BatchSize", "10"),
    ("BatchSize", 1.5),
    ("BatchSize", True),
    ("BatchSize", [1]),
    ("BatchSize", {}),
]


@pytest.mark.parametrize(("member", "value"), VALUES)
def test_both_judges_agree(member: str, value: Any) -> None:
    request = {"EventSourceArn": STREAM, member: value}
    answer = Stage().create(**request)
    document = {
        "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:my-function",
        "StartingPosition": "TRIM_HORIZON",
    } | request
    try:
        _bridge.normalize(json.dumps(document).encode())
    except ConfigurationError:
        assert answer.status == 400
    else:
        assert answer.status == 202, answer.body


def test_every_default_of_the_api_is_one_that_the_engine_takes() -> None:
    made = Stage().create(EventSourceArn=STREAM).body
    members = {key: made[key] for key in made if key in _engine_members()}
    document = members | {"UUID": made["UUID"], "FunctionArn": made["FunctionArn"]}
    normal = json.loads(_bridge.normalize(json.dumps(document).encode()))
    assert {key: normal[key] for key in members} == members


def test_every_member_of_a_stream_reaches_the_engine_or_is_known_not_to() -> None:
    given = {
        "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 5.0, "BatchSize": 9,
        "MaximumBatchingWindowInSeconds": 3, "ParallelizationFactor": 4,
        "FilterCriteria": {"Filters": [{"Pattern": '{"data": {"a": [1]}}'}]},
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:penstock:::stream/failed"}},
        "MaximumRecordAgeInSeconds": 70, "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 8, "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }  # fmt: skip
    stage = Stage()
    made = stage.create(EventSourceArn=STREAM, **given)
    assert made.status == 202, made.body
    kept = stage.service.kept(made.body["UUID"])
    assert kept is not None
    prepared = _pollers(stage).check(kept)
    short = {"DestinationConfig": {"OnFailure": {"Destination": "stream:failed"}}}
    expected = given | short
    assert {name: prepared.document[name] for name in given} == expected


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}, "Invalid filter pattern definition."),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": STREAM}}},
            (
                "DestinationConfig.OnFailure.Destination is the stream that the mapping reads; a "
                "failure document would come back as a record for ever"
            ),
        ),
    ],
)
def test_what_the_engine_refuses_the_api_refuses_in_the_same_words(
    change: dict[str, Any], sentence: str
) -> None:
    stage = Stage()
    pollers = _pollers(stage)
    stage.driver.on_kept = pollers.check
    answer = stage.create(EventSourceArn=STREAM, **change)
    assert (answer.status, answer.type) == (400, "InvalidParameterValueException")
    assert answer.message == sentence


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("KMSKeyArn", "arn:aws:kms:us-east-2:123456789012:key/a"),
        ("ProvisionedPollerConfig", {"MinimumPollers": 2}),
    ],
)
def test_a_member_that_would_have_no_effect_is_refused_by_name(member: str, value: Any) -> None:
    stage = Stage()
    stage.driver.on_kept = _pollers(stage).check
    answer = stage.create(
        EventSourceArn="arn:aws:penstock:::queue/orders", StartingPosition=..., **{member: value}
    )
    assert (answer.status, answer.type) == (400, "InvalidParameterValueException")
    assert answer.message == f"{member} is not supported by this version"
    assert answer.body["Hint"] == "leave it out"
    assert stage.ask("GET", MAPPINGS).body == {"EventSourceMappings": []}


def test_every_member_is_done_or_refused() -> None:
    """What a request may hold reaches the engine, is served beside it, or is refused by name."""
    for member in table()["operations"]["CreateEventSourceMapping"]["members"]:
        if member in {"FunctionName", "EventSourceArn", "Tags"} | NOT_THE_ENGINES:
            continue
        assert (member in _engine_members()) != (snake(member) in _LATER), member


def _engine_members() -> set[str]:
    return {field.split(".")[0] for field in _bridge.config_fields()} - {"Penstock"}


class _Streams:
    """Stands for a runtime that has every stream."""

    def streams(self, document: bytes) -> bytes:
        return b"{}"


def _pollers(stage: Stage) -> Pollers:
    nothing: Any = None
    runtime: Any = _Streams()
    return Pollers(
        runtime=runtime,
        access=nothing,
        settings=make_settings(),
        functions=stage.functions,
        shop=nothing,
        prepared=[],
        names={},
        snapshot=lambda: {"mappings": []},
    )


def test_nothing_is_left_out_of_the_kept_members() -> None:
    made = Stage().create(EventSourceArn=STREAM).body
    answered = set(made) - {
        "UUID", "FunctionArn", "EventSourceMappingArn", "LastModified", "LastProcessingResult",
        "State", "StateTransitionReason",
    }  # fmt: skip
    assert answered - _engine_members() <= NOT_THE_ENGINES
