"""Tests the mapping API's rules: sentences by source, states, lists, tags, names of functions."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from penstock.errors import CheckpointError, MappingConflict
from penstock.mappings.kept import Kept
from penstock.mappings.store import FILE, Store
from tests.python.unit.api_stage import KINESIS, MAPPINGS, QUEUE, TABLE, Stage, run_apart

FIFO = QUEUE + ".fifo"
INVALID = "InvalidParameterValueException"
VALIDATION = "ValidationException"
CRITERIA = {"Filters": [{"Pattern": '{"data": {"a": [1]}}'}]}
SERVERS = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092", "b:9092"]}}
NOWHERE = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"

SENTENCES: list[tuple[dict[str, Any], str, str]] = [
    ({"EventSourceArn": ...}, INVALID, "Unrecognized event source."),
    ({"EventSourceArn": "arn:aws:sns:us-east-2:123456789012:t"}, INVALID,
     "Unrecognized event source."),
    ({"FunctionName": "nobody"}, INVALID, "Function does not exist"),
    ({"StartingPosition": ...}, INVALID,
     ("1 validation error detected: Value null at 'startingPosition' failed to satisfy "
     "constraint: Member must not be null.")),
    ({"EventSourceArn": TABLE, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1},
     INVALID, f"Unsupported starting position for arn type: {TABLE}"),
    ({"StartingPosition": "AT_TIMESTAMP"}, INVALID, "Need to specify a timestamp"),
    ({"StartingPositionTimestamp": 1}, INVALID,
     "Timestamp only valid with StartingPosition AT_TIMESTAMP"),
    ({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 32_503_680_000}, INVALID,
     "StartingPositionTimestamp must not be in the future"),
    ({"MaximumRecordAgeInSeconds": 0}, INVALID,
     "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)"),
    ({"MaximumRecordAgeInSeconds": 59}, INVALID,
     "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)"),
    ({"ScalingConfig": {"MaximumConcurrency": 5}}, INVALID,
     "Unsupported ScalingConfig parameter for given event source mapping type."),
    ({"Queues": ["q"]}, INVALID,
     "Unsupported 'queues' parameter for given event source mapping type."),
    ({"SelfManagedEventSource": SERVERS}, INVALID,
     "Unsupported 'selfManagedEventSource' parameter for given event source mapping type."),
    ({"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}, INVALID,
     "OnSuccess configuration is not supported for event source mappings."),
    ({"DestinationConfig": {"OnFailure": {"Destination": "kafka://topic"}}}, INVALID,
     "Unsupported DestinationConfig parameter for given event source mapping type."),
    ({"TumblingWindowInSeconds": 30, "ParallelizationFactor": 2}, INVALID,
     "Parallelization factor must be equal to 1 when tumbling window period is configured"),
    ({"Tags": {"aws:mine": "x"}}, INVALID,
     'Tag keys may not begin with "aws:", which is reserved.'),
    ({"EventSourceArn": QUEUE, "StartingPosition": ..., "BatchSize": 11}, INVALID,
     ("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater "
     "than 10")),
    ({"EventSourceArn": FIFO, "StartingPosition": ..., "MaximumBatchingWindowInSeconds": 1},
     INVALID, "Batching window is not supported for FIFO queues"),
    ({"EventSourceArn": QUEUE}, INVALID,
     "Unsupported 'startingPosition' parameter for given event source mapping type."),
    ({"EventSourceArn": QUEUE, "StartingPosition": ...,
      "DestinationConfig": {"OnSuccess": {"Destination": KINESIS}}}, INVALID,
     "Unsupported DestinationConfig parameter for given event source mapping type."),
    ({"EventSourceArn": QUEUE, "StartingPosition": ..., "ScalingConfig": {"MaximumConcurrency": 2},
      "ProvisionedPollerConfig": {"MinimumPollers": 2}}, INVALID,
     ("Provisioned mode for SQS ESM does not support maximum concurrency feature. Use "
     "MaximumPollers as the control mechanism and remove maximum concurrency.")),
    ({"EventSourceArn": QUEUE, "StartingPosition": ...,
      "ProvisionedPollerConfig": {"MinimumPollers": 1}}, INVALID,
     ("MinimumPollers should be between [2, 200] and MaximumPollers should be between "
     "[MinimumPollers, 10000]")),
    ({"EventSourceArn": QUEUE, "StartingPosition": ...,
      "ProvisionedPollerConfig": {"PollerGroupName": "g"}}, INVALID,
     "Unsupported PollerGroupName parameter for given event source mapping type."),
    ({"EventSourceArn": ..., "SelfManagedEventSource": SERVERS}, INVALID,
     "Required 'topics' parameter is missing."),
    ({"EventSourceArn": ..., "SelfManagedEventSource": SERVERS, "Topics": ["orders"]}, INVALID,
     "Required 'sourceAccessConfigurations' parameter is missing."),
    ({"EventSourceArn": ..., "SelfManagedEventSource": {"Endpoints": {}}}, VALIDATION,
     ("1 validation error detected: Value '{}' at 'selfManagedEventSource.endpoints' failed to "
     "satisfy constraint: Member must have length greater than or equal to 1")),
    ({"Topics": ["one", "two"]}, VALIDATION,
     ("1 validation error detected: Value '[one, two]' at 'topics' failed to satisfy constraint: "
     "Member must have length less than or equal to 1")),
    ({"FunctionResponseTypes": ["Bad"]}, VALIDATION,
     ("1 validation error detected: Value '[Bad]' at 'functionResponseTypes' failed to satisfy "
     "constraint: Member must satisfy constraint: [Member must satisfy enum value set: "
     "[ReportBatchItemFailures], Member must not be null]")),
    ({"BatchSize": 0, "ParallelizationFactor": 11}, VALIDATION,
     ("2 validation errors detected: Value '0' at 'batchSize' failed to satisfy constraint: Member "
     "must have value greater than or equal to 1; Value '11' at 'parallelizationFactor' failed to "
     "satisfy constraint: Member must have value less than or equal to 10")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "sentence"), SENTENCES)
def test_a_request_is_refused_in_awss_words(
    change: dict[str, Any], kind: str, sentence: str
) -> None:
    stage = Stage()
    answer = stage.create(**change)
    assert (answer.status, answer.type, answer.message) == (400, kind, sentence)
    assert ("Type" in answer.body) is (kind != VALIDATION)
    assert stage.ask("GET", MAPPINGS).body == {"EventSourceMappings": []}


# A request that is wrong in every way, and what mends one after the other: what is told until
# then, step by step as Lambda looks.
LADDER: list[tuple[str, dict[str, Any]]] = [
    ("2 validation errors detected: Value '0' at 'batchSize'", {"BatchSize": 7}),
    ("1 validation error detected: Value '11' at 'parallelizationFactor'",
     {"ParallelizationFactor": 2}),
    ("Unrecognized event source.", {"EventSourceArn": KINESIS}),
    ("Unsupported 'queues' parameter", {"Queues": ...}),
    ("OnSuccess configuration is not supported", {"DestinationConfig": ...}),
    ("Function does not exist", {"FunctionName": "my-function"}),
    ("1 validation error detected: Value null at 'startingPosition'",
     {"StartingPosition": "LATEST"}),
    ("Timestamp only valid with StartingPosition AT_TIMESTAMP",
     {"StartingPositionTimestamp": ...}),
    ("MaximumRecordAgeInSeconds must be either", {"MaximumRecordAgeInSeconds": 60}),
    ("Parallelization factor must be equal to 1", {"ParallelizationFactor": 1}),
    ("Filter criteria must be empty", {"FilterCriteria": ...}),
    ("Tag keys may not begin", {"Tags": ...}),
]  # fmt: skip
ALL_WRONG: dict[str, Any] = {
    "BatchSize": 0, "ParallelizationFactor": 11, "EventSourceArn": "arn:aws:sns:us-east-2::t",
    "Queues": ["q"], "DestinationConfig": {"OnSuccess": {"Destination": QUEUE}},
    "FunctionName": "nobody", "StartingPosition": ..., "StartingPositionTimestamp": 1,
    "MaximumRecordAgeInSeconds": 59, "TumblingWindowInSeconds": 30, "FilterCriteria": CRITERIA,
    "Tags": {"aws:mine": "x"},
}  # fmt: skip


def test_what_is_wrong_is_told_in_awss_order() -> None:
    stage, asked = Stage(), dict(ALL_WRONG)
    stage.create()
    stage.driver.missing.add(KINESIS)
    for sentence, mended in LADDER:
        answer = stage.create(**asked)
        assert (answer.status, answer.message[: len(sentence)]) == (400, sentence)
        asked |= mended
    assert stage.create(**asked).message == f"Stream not found: {KINESIS}"
    stage.driver.missing.clear()
    assert stage.create(**asked).type == "ResourceConflictException"
    assert stage.create(**asked | {"FunctionName": "other"}).status == 202


def test_an_update_is_judged_in_the_same_order_and_by_what_it_would_become() -> None:
    stage = Stage()
    stage.create(FunctionName="other")
    uuid = stage.create().body["UUID"]
    stage.settle()
    before = stage.ask("GET", f"{MAPPINGS}/{uuid}").body
    asked: dict[str, Any] = {"BatchSize": 0, "ScalingConfig": {"MaximumConcurrency": 2}}
    asked |= {"FunctionName": "nobody", "ParallelizationFactor": 2, "TumblingWindowInSeconds": 9}
    for sentence, mended in (
        ("1 validation error detected: Value '0' at 'batchSize'", {"BatchSize": 7}),
        ("Unsupported ScalingConfig parameter", {"ScalingConfig": {}}),
        ("Function does not exist", {"FunctionName": "other"}),
        ("Parallelization factor must be equal to 1", {"ParallelizationFactor": 1}),
        ("The event source arn", {"FunctionName": "my-function"}),
    ):
        answer = stage.ask("PUT", f"{MAPPINGS}/{uuid}", asked)
        assert answer.message[: len(sentence)] == sentence
        assert stage.ask("GET", f"{MAPPINGS}/{uuid}").body == before
        asked |= mended
    assert stage.ask("PUT", f"{MAPPINGS}/{uuid}", asked).status == 202


def test_twins_are_refused_by_the_id_of_the_other() -> None:
    stage = Stage()
    first = stage.create().body["UUID"]
    answer = stage.create(BatchSize=3)
    assert (answer.status, answer.type) == (409, "ResourceConflictException")
    assert answer.message == (
        f'The event source arn (" {KINESIS} ") and function (" my-function ") provided mapping '
        f"already exists. Please update or delete the existing mapping with UUID {first}"
    )
    assert stage.create(FunctionName="my-function:live").status == 202
    assert stage.create(FunctionName="other").status == 202
    assert stage.create(EventSourceArn=QUEUE, StartingPosition=...).status == 202
    twin = stage.create(EventSourceArn=QUEUE, StartingPosition=...)
    assert twin.message.startswith(
        f'An event source mapping with SQS arn (" {QUEUE} ") and function (" my-function ") '
    )


def test_an_update_may_not_make_a_twin() -> None:
    stage = Stage()
    stage.create()
    second = stage.create(FunctionName="other").body["UUID"]
    stage.settle()
    answer = stage.ask("PUT", f"{MAPPINGS}/{second}", {"FunctionName": "my-function"})
    assert answer.status == 409
    assert stage.ask("GET", f"{MAPPINGS}/{second}").body["FunctionArn"].endswith(":other")


@pytest.mark.parametrize(
    ("name", "arn"),
    [
        ("my-function", "arn:aws:lambda:us-east-2:123456789012:function:my-function"),
        ("my-function:$LATEST",
         "arn:aws:lambda:us-east-2:123456789012:function:my-function:$LATEST"),
        ("my-function:1", "arn:aws:lambda:us-east-2:123456789012:function:my-function:1"),
        ("123456789012:function:my-function:live",
         "arn:aws:lambda:us-east-2:123456789012:function:my-function:live"),
        ("arn:aws:lambda:us-east-2:123456789012:function:my-function",
         "arn:aws:lambda:us-east-2:123456789012:function:my-function"),
    ],
)  # fmt: skip
def test_a_function_is_named_in_every_form_and_keeps_its_qualifier(name: str, arn: str) -> None:
    stage = Stage()
    made = stage.create(FunctionName=name)
    assert (made.status, made.body["FunctionArn"]) == (202, arn)
    listed = stage.ask("GET", f"{MAPPINGS}?FunctionName={quote(name, safe='')}").body
    assert [each["UUID"] for each in listed["EventSourceMappings"]] == [made.body["UUID"]]
    others = stage.ask("GET", f"{MAPPINGS}?FunctionName=my-function:v9").body
    assert others == {"EventSourceMappings": []}


def test_a_function_of_another_account_or_region_does_not_exist() -> None:
    stage = Stage(account="123456789012", region="us-east-2")
    for name in (
        "999999999999:function:my-function",
        "arn:aws:lambda:eu-west-1:123456789012:function:my-function",
    ):
        assert stage.create(FunctionName=name).message == "Function does not exist"


def test_states_follow_one_another() -> None:
    stage = Stage()
    made = stage.create().body
    place = f"{MAPPINGS}/{made['UUID']}"
    assert made["State"] == "Creating"
    busy = stage.ask("PUT", place, {"BatchSize": 3})
    assert (busy.status, busy.type) == (400, "ResourceInUseException")
    assert busy.body["Message"] == ("Cannot update the event source mapping because it is in use.")
    assert stage.ask("DELETE", place).body["Message"] == (
        "Cannot delete the event source mapping because it is in use."
    )
    stage.settle()
    for change, state, then in (
        ({}, "Updating", "Enabled"),
        ({"BatchSize": 3}, "Updating", "Enabled"),
        ({"Enabled": False}, "Disabling", "Disabled"),
        ({"Enabled": False, "BatchSize": 4}, "Updating", "Disabled"),
        ({"Enabled": True}, "Enabling", "Enabled"),
    ):
        answer = stage.ask("PUT", place, change)
        assert (answer.status, answer.body["State"]) == (202, state)
        stage.settle()
        assert stage.ask("GET", place).body["State"] == then
    stage.ask("PUT", place, {})
    assert stage.ask("DELETE", place).body["Message"] == (
        "The operation cannot be performed at this time. The event source mapping is currently "
        "being updated."
    )
    stage.settle()
    gone = stage.ask("DELETE", place)
    assert (gone.status, gone.body["State"], gone.body["BatchSize"]) == (202, "Deleting", 4)
    assert stage.create().status == 409
    assert stage.ask("GET", place).body["State"] == "Deleting"
    stage.settle()
    for method in ("GET", "PUT", "DELETE"):
        answer = stage.ask(method, place, {} if method == "PUT" else None)
        assert (answer.status, answer.body) == (
            404, {"Message": "The resource you requested does not exist.", "Type": "User"},
        )  # fmt: skip


def test_a_disabled_queue_is_disabled_at_once_and_a_stream_is_not() -> None:
    stage = Stage()
    queue = stage.create(EventSourceArn=QUEUE, StartingPosition=..., Enabled=False).body
    assert (queue["State"], queue["StateTransitionReason"]) == ("Disabled", "USER_INITIATED")
    assert "LastProcessingResult" not in queue
    assert stage.create(Enabled=False).body["State"] == "Creating"


def test_defaults_are_stored_and_clearing_takes_members_back() -> None:
    stage = Stage()
    made = stage.create(FilterCriteria=CRITERIA, KMSKeyArn="arn:aws:kms:us-east-2:1:key/a").body
    assert made["FilterCriteria"] == CRITERIA
    assert {"Enabled", "FunctionName", "Tags"}.isdisjoint(made)
    stage.settle()
    place = f"{MAPPINGS}/{made['UUID']}"
    cleared = {"FilterCriteria": {}, "KMSKeyArn": "", "DestinationConfig": {"OnFailure": {}}}
    after = stage.ask("PUT", place, cleared).body
    assert {"FilterCriteria", "KMSKeyArn"}.isdisjoint(after)
    assert after["DestinationConfig"] == {"OnFailure": {}}
    assert stage.create(FunctionName="other", FilterCriteria={"Filters": []}).body.keys() == (
        made.keys() - {"FilterCriteria", "KMSKeyArn"}
    )


def test_lists_come_in_pages_in_the_order_of_creation() -> None:
    stage = Stage()
    made = [stage.create(FunctionName=f"my-function:{n}").body["UUID"] for n in range(7)]
    seen, marker = [], ""
    while True:
        page = stage.ask("GET", f"{MAPPINGS}?MaxItems=3{marker}").body
        seen += [each["UUID"] for each in page["EventSourceMappings"]]
        if "NextMarker" not in page:
            break
        marker = f"&Marker={quote(page['NextMarker'])}"
    assert seen == made
    foreign = Stage().ask("GET", f"{MAPPINGS}?MaxItems=1{marker}")
    assert (foreign.status, foreign.type) == (400, INVALID)
    for wrong in (
        "Marker=nonsense",
        "MaxItems=0",
        "MaxItems=10001",
        "MaxItems=x",
        "FunctionName=!",
    ):
        assert stage.ask("GET", f"{MAPPINGS}?{wrong}").status == 400, wrong
    nothing: dict[str, Any] = {"EventSourceMappings": []}
    assert stage.ask("GET", f"{MAPPINGS}?EventSourceArn={TABLE}").body == nothing
    assert stage.ask("GET", f"{MAPPINGS}?FunctionName=nobody").body == nothing


def test_tags_are_merged_and_taken_away() -> None:
    stage = Stage()
    arn = stage.create(Tags={"a": "1"}).body["EventSourceMappingArn"]
    place = f"/2017-03-31/tags/{quote(arn, safe='')}"
    assert stage.ask("POST", place, {"Tags": {"a": "2", "b": ""}}).status == 204
    assert stage.ask("GET", place).body == {"Tags": {"a": "2", "b": ""}}
    assert stage.ask("DELETE", f"{place}?tagKeys=a&tagKeys=nothing").status == 204
    assert stage.ask("GET", place).body == {"Tags": {"b": ""}}
    many = stage.ask("POST", place, {"Tags": {str(n): "x" for n in range(50)}})
    assert (many.status, many.type) == (400, INVALID)
    other = arn[:-36] + NOWHERE
    missing = stage.ask("GET", f"/2017-03-31/tags/{quote(other, safe='')}")
    assert (missing.status, missing.message) == (404, f"Event source mapping not found: {other}")
    broken = stage.ask("GET", f"/2017-03-31/tags/{quote(arn + ':live', safe='')}")
    assert (broken.status, broken.type) == (400, VALIDATION)


def test_two_writers_at_once_leave_one_mapping() -> None:
    stage = Stage()
    answers: list[int] = []
    barrier = threading.Barrier(8)

    def write() -> None:
        barrier.wait()
        answers.append(stage.create().status)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [202] + [409] * 7
    assert len(stage.ask("GET", MAPPINGS).body["EventSourceMappings"]) == 1


def test_two_updates_at_once_are_one_update_and_one_refusal() -> None:
    stage = Stage()
    uuid = stage.create().body["UUID"]
    stage.settle()
    others: list[int] = []

    def overtake() -> None:
        stage.driver.on_check = None
        others.append(stage.ask("PUT", f"{MAPPINGS}/{uuid}", {"BatchSize": 9}).status)

    stage.driver.on_check = lambda: run_apart(overtake)
    first = stage.ask("PUT", f"{MAPPINGS}/{uuid}", {"BatchSize": 8})
    assert (first.type, others) == ("ResourceInUseException", [202])
    stage.settle()
    assert stage.ask("GET", f"{MAPPINGS}/{uuid}").body["BatchSize"] == 9


def test_mappings_of_code_are_shown_and_not_changed() -> None:
    stage = Stage()
    fixed = Kept(
        uuid=NOWHERE, config={"EventSourceArn": KINESIS, "BatchSize": 5}, enabled=True,
        function_arn="arn:aws:lambda:us-east-2:123456789012:function:my-function",
        state="Enabled", modified=1.0, origin="@app.on(…) in app.py:14",
    )  # fmt: skip
    stage.service.load([fixed])
    assert stage.ask("GET", f"{MAPPINGS}/{NOWHERE}").body["BatchSize"] == 5
    twin = stage.create()
    assert (twin.status, twin.type) == (409, "ResourceConflictException")
    assert NOWHERE in twin.message
    assert "app.py:14" in twin.body["Hint"]
    refused = stage.ask("PUT", f"{MAPPINGS}/{NOWHERE}", {"BatchSize": 6})
    assert refused.status == 400
    assert "app.py:14" in refused.message
    assert stage.service.described()[0]["Origin"] == "@app.on(…) in app.py:14"


@pytest.mark.parametrize("account", ["123456789012", "000000000000"])
def test_a_mapping_that_was_kept_may_not_be_declared_in_code_too(
    tmp_path: Path, account: str
) -> None:
    """Whatever account the ARN of the function in code has: there is one such function."""
    store = Store(tmp_path)
    made = Stage(store).create().body
    fixed = Kept(
        uuid=NOWHERE, config={"EventSourceArn": KINESIS}, enabled=True, modified=1.0,
        function_arn=f"arn:aws:lambda:us-east-2:{account}:function:my-function",
        state="Enabled", origin="app.py:14",
    )  # fmt: skip
    assert ":123456789012:" in made["FunctionArn"]
    with pytest.raises(MappingConflict) as caught:
        Stage(store).service.load([fixed])
    assert (caught.value.where, caught.value.mapping) == ("app.py:14", made["UUID"])
    assert made["UUID"] in str(caught.value.hint)
    store.close()


def test_a_store_is_read_again_and_a_damaged_one_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stage = Stage(store)
    uuid = stage.create(Tags={"a": "b"}).body["UUID"]
    store.close()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    again = Stage(Store(tmp_path))
    again.service.load([])
    again.settle()
    assert again.ask("GET", f"{MAPPINGS}/{uuid}").body["State"] == "Enabled"
    (tmp_path / FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(CheckpointError) as caught:
        Store(tmp_path).load()
    assert caught.value.code == "PS302"
