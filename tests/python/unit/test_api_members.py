"""Tests every member of the requests at its boundaries, with cases made from botocore's model."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from penstock.api.validation import matches
from tests.python.unit.api_stage import KINESIS, MAPPINGS, QUEUE, Stage

ROOT = Path(__file__).resolve().parents[3]
MODEL = botocore.session.get_session().get_service_model("lambda")
KAFKA = {
    "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}},
    "Topics": ["orders"],
    "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:x"}],
}
STREAM = {"EventSourceArn": KINESIS, "StartingPosition": "LATEST"}
MSK = {"EventSourceArn": "arn:aws:kafka:us-east-2:123456789012:cluster/a/b", "Topics": ["orders"]}
MQ = {
    "EventSourceArn": "arn:aws:mq:us-east-2:123456789012:broker:b:b-1",
    "Queues": ["orders"],
    "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:x"}],
}
DOCUMENTS = {
    "EventSourceArn": "arn:aws:rds:us-east-2:123456789012:cluster:docs",
    "StartingPosition": "LATEST",
    "SourceAccessConfigurations": MQ["SourceAccessConfigurations"],
    "DocumentDBEventSourceConfig": {"DatabaseName": "d"},
}
# A source that can have the member; all others go with a stream.
BASES: dict[str, dict[str, Any]] = {
    "ScalingConfig": {"EventSourceArn": QUEUE},
    "ProvisionedPollerConfig": KAFKA,
    "MetricsConfig": KAFKA,
    "LoggingConfig": KAFKA,
    "SelfManagedEventSource": KAFKA,
    "Topics": KAFKA,
    "SourceAccessConfigurations": KAFKA,
    "SelfManagedKafkaEventSourceConfig": KAFKA,
    "AmazonManagedKafkaEventSourceConfig": MSK,
    "Queues": MQ,
    "DocumentDBEventSourceConfig": DOCUMENTS,
}
# Values that patterns and the rules between members allow, where a plain text is not enough.
TEXTS = {
    "Arn": KINESIS,
    "DestinationArn": "arn:aws:sqs:us-east-2:123456789012:failed",
    "KMSKeyArn": "arn:aws:kms:us-east-2:123456789012:key/a",
    "Endpoint": "broker:9092",
    "NamespacedFunctionName": "my-function",
    "Topic": "orders",
}
# The rules of the service are tighter than the model's ranges here.
TIGHTER = {
    ("MaximumRecordAgeInSeconds", "accepted"),
    ("DestinationConfig.OnSuccess.Destination", "accepted"),
    ("ProvisionedPollerConfig.MaximumPollers", "max"),
    ("FunctionName", "min"),
    ("FunctionName", "max"),
}


# What the case is called, the value, and how it is refused, if it is.
Value = tuple[str, Any, tuple[str, str] | None]


class Case:
    """One request, and what becomes of it: None for an accepted one, else type and sentence."""

    def __init__(self, name: str, request: dict[str, Any], refused: tuple[str, str] | None) -> None:
        self.name = name
        self.request = request
        self.refused = refused


def leaves(shape: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give every member that holds a value itself, with its path; lists and maps are values."""
    for name, inner in shape.members.items():
        if name == "UUID":
            continue
        if inner.type_name == "structure":
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


def good(shape: Any) -> Any:
    """Give a value that the model allows."""
    meta = shape.metadata
    if shape.type_name == "integer":
        return max(
            meta.get("min", 1), min(meta.get("max", 10), 10 if meta.get("min", 0) < 10 else 60)
        )
    if shape.type_name == "boolean":
        return True
    if shape.type_name == "timestamp":
        return 1_541_139_109.351
    if shape.type_name == "list":
        return [good(shape.member)]
    if shape.type_name == "map":
        return {good(shape.key): good(shape.value)}
    if shape.type_name == "structure":
        return {name: good(inner) for name, inner in shape.members.items()}
    if meta.get("enum"):
        return meta["enum"][0]
    return TEXTS.get(shape.name, "a" * max(1, meta.get("min", 1)))


def place(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Put a value at a path into an empty request."""
    *above, last = path
    request: dict[str, Any] = {last: value}
    for name in reversed(above):
        request = {name: request}
    return request


def camel(path: tuple[str, ...]) -> str:
    return ".".join(name[0].lower() + name[1:] for name in path)


def violation(path: tuple[str, ...], shown: str, constraint: str) -> tuple[str, str]:
    text = f"Value '{shown}' at '{camel(path)}' failed to satisfy constraint: {constraint}"
    return ("ValidationException", f"1 validation error detected: {text}")


def cases_of(path: tuple[str, ...], shape: Any) -> Iterator[Value]:
    """Give for one member what it may and may not be."""
    meta, kind = shape.metadata, shape.type_name
    yield "accepted", good(shape), None
    yield "null", None, None
    yield from _wrong_types(kind)
    if kind == "integer":
        least, most = meta["min"], meta["max"]
        yield "min", least, None
        yield "max", most, None
        for name, value, words in (
            ("min-1", least - 1, f"Member must have value greater than or equal to {least}"),
            ("max+1", most + 1, f"Member must have value less than or equal to {most}"),
        ):
            yield name, value, violation(path, str(value), words)
    elif meta.get("enum"):
        order = list(meta["enum"])
        if shape.name == "EventSourcePosition":
            order = ["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"]  # as AWS prints them
        words = f"Member must satisfy enum value set: [{', '.join(order)}]"
        yield "no such value", "nonsense", violation(path, "nonsense", words)
    elif kind == "string":
        yield from _texts(path, meta)
    elif kind == "list" and "max" in meta:
        yield from _lists(path, shape)


def _wrong_types(kind: str) -> Iterator[Value]:
    wanted = {
        "integer": "an Integer", "string": "a String", "boolean": "a Boolean",
        "timestamp": "a Timestamp", "list": "a List", "map": "a Map",
    }[kind]  # fmt: skip
    structure = "Start of structure or map found where not expected."
    array = "Start of list found where not expected"
    wrong: list[tuple[Any, str]] = [
        (True, f"TRUE_VALUE can not be converted to {wanted}"),
        ("text", f"STRING_VALUE can not be converted to {wanted}"),
        (1.5, f"DECIMAL_VALUE can not be converted to {wanted}"),
        ({"a": 1}, structure),
        ([1], array),
    ]
    fits = {"boolean": bool, "string": str, "timestamp": float, "list": list, "map": dict}
    for value, sentence in wrong:
        if not isinstance(value, fits.get(kind, type(None))):
            yield f"type {type(value).__name__}", value, ("SerializationException", sentence)


def _texts(path: tuple[str, ...], meta: Any) -> Iterator[Value]:
    pattern = meta.get("pattern")
    for name, size in (("min", meta.get("min")), ("max", meta.get("max"))):
        if size is not None and (pattern is None or matches(pattern, "a" * size)):
            yield name, "a" * size, None
    if meta.get("min") and (pattern is None or matches(pattern, "")):
        words = f"Member must have length greater than or equal to {meta['min']}"
        yield "min-1", "", violation(path, "", words)
    if "max" in meta:
        long = "a" * (meta["max"] + 1)
        if pattern is None or matches(pattern, long):
            words = f"Member must have length less than or equal to {meta['max']}"
            yield "max+1", long, violation(path, long, words)
    if pattern and not matches(pattern, "no\x00 [text]"):
        words = f"Member must satisfy regular expression pattern: {pattern}"
        yield "pattern", "no\x00 [text]", violation(path, "no\x00 [text]", words)


def _lists(path: tuple[str, ...], shape: Any) -> Iterator[Value]:
    most, item = shape.metadata["max"], good(shape.member)
    long = [item] * (most + 1)
    if isinstance(item, str):
        shown = "[" + ", ".join(long) + "]"
        words = f"Member must have length less than or equal to {most}"
        yield "max+1", long, violation(path, shown, words)
    if shape.metadata.get("min"):
        words = f"Member must have length greater than or equal to {shape.metadata['min']}"
        yield "min-1", [], violation(path, "[]", words)


def every_case(operation: str) -> Iterator[Case]:
    shape = MODEL.operation_model(operation).input_shape
    for path, inner in leaves(shape):
        for name, value, refused in cases_of(path, inner):
            if (".".join(path), name) in TIGHTER:
                continue
            request = place(path, value)
            yield Case(f"{operation}-{'.'.join(path)}-{name}", request, refused)


CASES = [
    case
    for operation in ("CreateEventSourceMapping", "UpdateEventSourceMapping")
    for case in every_case(operation)
]


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 400


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_member_is_judged_as_aws_judges_it(case: Case) -> None:
    stage = Stage()
    member = next(iter(case.request))
    base = BASES.get(member, STREAM)
    if case.name.startswith("Create"):
        asked = _combined({"FunctionName": "my-function"} | base, case.request)
        answer = stage.ask("POST", MAPPINGS, asked)
    else:
        made = stage.ask("POST", MAPPINGS, {"FunctionName": "my-function"} | base)
        assert made.status == 202, made.body
        stage.settle()
        uuid = made.body["UUID"]
        before = stage.ask("GET", f"{MAPPINGS}/{uuid}").body
        answer = stage.ask("PUT", f"{MAPPINGS}/{uuid}", _combined({}, case.request))
        if answer.status != 202:
            assert stage.ask("GET", f"{MAPPINGS}/{uuid}").body == before
    if case.refused is None:
        _expect_accepted(case, member, answer)
    else:
        assert (answer.type, answer.message) == case.refused
        assert answer.status == 400


def test_the_table_is_that_of_the_installed_botocore() -> None:
    script = runpy.run_path(str(ROOT / "scripts/api-members"))
    kept = (ROOT / "python/penstock/api/members.json").read_text(encoding="utf-8")
    assert script["text"]() == kept, "botocore's model has changed: run scripts/api-members"


def _combined(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Put a request over a base; null takes a member out, as it does for AWS."""
    asked = base | change
    if asked.get("StartingPositionTimestamp") is not None:
        asked["StartingPosition"] = "AT_TIMESTAMP"
    if asked.get("StartingPosition") == "AT_TIMESTAMP":
        asked.setdefault("StartingPositionTimestamp", 1_541_139_109.351)
    if "PollerGroupName" in asked.get("ProvisionedPollerConfig", {}):
        asked["ProvisionedPollerConfig"] |= {"MinimumPollers": 1}
    window = asked.get("TumblingWindowInSeconds")
    return asked if not window else asked | {"ParallelizationFactor": 1}


def _expect_accepted(case: Case, member: str, answer: Any) -> None:
    """A value that the model allows goes through, unless it is one that must be there."""
    needed = {"FunctionName", "EventSourceArn", "StartingPosition", "Topics", "Queues"}
    needed |= {"SourceAccessConfigurations", "SelfManagedEventSource"}
    needed |= {"DocumentDBEventSourceConfig"}
    created = case.name.startswith("Create")
    if case.name.endswith("-null") and created and member in needed:
        assert answer.status == 400
        assert answer.type in {"InvalidParameterValueException", "ValidationException"}
        return
    assert answer.status == 202, (case.request, answer.body)
