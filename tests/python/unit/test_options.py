"""Tests the options of a mapping: names, types, where they come from, and the way to AWS."""

from __future__ import annotations

import inspect
import time
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from penstock.app import App
from penstock.errors import ConfigurationError
from penstock.mappings.model import Mapping
from penstock.options import ALIASES, OPTIONS, MappingOptions, snake

KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
START: Any = {"starting_position": "TRIM_HORIZON"}


def handler(event: Any, context: Any) -> None:
    """Do nothing."""


def refused(**options: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        Mapping("stream:orders", handler, **options)
    return caught.value


def test_names_are_the_apis_in_snake_case() -> None:
    for option in OPTIONS.values():
        if "." not in option.path:
            assert option.name == snake(option.path)


def test_type_checkers_know_every_option_and_alias() -> None:
    assert set(MappingOptions.__annotations__) == {*OPTIONS, *ALIASES}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("batch_sise", "batch_size"),
        ("BatchSize", "batch_size"),
        ("parallelisation_factor", "parallelization_factor"),
        ("max_retry_attempts", "maximum_retry_attempts"),
        ("on_failures", "on_failure"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(written: str, meant: str) -> None:
    error = refused(**{written: 1}, **START)
    assert error.code == "PS101"
    assert error.hint == f"did you mean {meant}?"
    assert error.path == written


@pytest.mark.parametrize("name", ["metrics_config", "topics"])
def test_what_this_version_lacks_is_refused_by_name(name: str) -> None:
    assert refused(**{name: 1}, **START).code == "PS115"


@pytest.mark.parametrize(
    ("alias", "given", "name", "expected"),
    [
        ("retry_attempts", 2, "maximum_retry_attempts", 2),
        ("max_record_age", "5m", "maximum_record_age_in_seconds", 300),
        ("bisect_batch_on_error", True, "bisect_batch_on_function_error", True),
        ("max_batching_window", "1m", "maximum_batching_window_in_seconds", 60),
        (
            "report_batch_item_failures",
            True,
            "function_response_types",
            ("ReportBatchItemFailures",),
        ),
        ("report_batch_item_failures", False, "function_response_types", ()),
        ("destination_config", {"OnFailure": {"Destination": "file:x"}}, "on_failure", "file:x"),
        ("destination_config", {"OnFailure": {}}, "on_failure", None),
        ("filters", [{"data": {"a": [1]}}], "filter_criteria", ('{"data":{"a":[1]}}',)),
    ],
)
def test_cdks_names_are_understood(alias: str, given: Any, name: str, expected: Any) -> None:
    options: Any = {alias: given} | START
    assert getattr(Mapping("stream:orders", handler, **options), name) == expected


def test_one_option_under_two_names_is_refused() -> None:
    error = refused(retry_attempts=1, maximum_retry_attempts=2, **START)
    assert error.code == "PS114"
    assert "retry_attempts and maximum_retry_attempts" in error.message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", "100"),
        ("batch_size", True),
        ("batch_size", 1.5),
        ("bisect_batch_on_error", 1),
        ("bisect_batch_on_function_error", "yes"),
        ("function_response_types", "ReportBatchItemFailures"),
        ("function_response_types", [1]),
        ("report_batch_item_failures", "yes"),
        ("starting_position", "NOW"),
        ("backoff_jitter", "much"),
        ("on_destination_failure", "perhaps"),
        ("partial_state", "some"),
        ("destination_config", {"OnSuccess": {"Destination": "file:x"}}),
        ("enabled", None.__class__),
        ("uuid", "not-a-uuid"),
    ],
)
def test_types_are_checked_under_the_name_that_was_written(option: str, value: Any) -> None:
    error = refused(**(START | {option: value}))
    assert option in error.message
    assert error.path == option
    assert error.code == "PS102"


def test_a_starting_position_is_asked_for_as_by_lambda() -> None:
    assert refused().code == "PS113"
    assert refused(starting_position="AT_TIMESTAMP").code == "PS113"
    assert refused(starting_position="LATEST", starting_position_timestamp=1.0).code == "PS113"


def test_a_moment_to_start_at_has_passed() -> None:
    for moment in (time.time() + 60, "2999-01-01T00:00:00Z"):
        error = refused(starting_position="AT_TIMESTAMP", starting_position_timestamp=moment)
        assert (error.code, error.path) == ("PS102", "starting_position_timestamp")
        assert "lies in the future" in error.message


@pytest.mark.parametrize(
    "moment",
    ["2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC), 1769860800, 1769860800.0],
)
def test_timestamps_are_times_or_numbers(moment: Any) -> None:
    mapping = Mapping(
        "stream:orders",
        handler,
        starting_position="AT_TIMESTAMP",
        starting_position_timestamp=moment,
    )
    assert mapping.starting_position_timestamp == 1769860800.0


def test_a_decorators_error_names_its_line() -> None:
    app = App()
    many: Any = "many"
    frame = inspect.currentframe()
    assert frame is not None
    with pytest.raises(ConfigurationError) as caught:
        app.on("stream:orders", batch_size=many, starting_position="LATEST")
    line = frame.f_lineno - 1
    assert caught.value.where is not None
    assert caught.value.where.startswith('@app.on("stream:orders") in ')
    assert caught.value.where.endswith(f"test_options.py:{line}")


def test_a_mapping_names_the_line_that_made_it() -> None:
    assert "test_options.py:" in str(Mapping("stream:orders", handler, **START).origin)


def test_ids_follow_from_source_and_function() -> None:
    first = Mapping("stream:orders", handler, **START)
    again = Mapping("arn:aws:penstock:::stream/orders", handler, batch_size=7, **START)
    assert first.id_for("handler") == again.id_for("handler")
    assert first.id_for("handler") != first.id_for("other")
    own = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
    assert Mapping("stream:orders", handler, uuid=own, **START).id_for("handler") == own


def full() -> Mapping:
    return Mapping(
        KINESIS,
        handler,
        batch_size=500,
        maximum_batching_window_in_seconds="5s",
        parallelization_factor=4,
        starting_position="AT_TIMESTAMP",
        starting_position_timestamp=1769860800.0,
        maximum_retry_attempts=2,
        maximum_record_age_in_seconds="1h",
        bisect_batch_on_function_error=True,
        function_response_types=["ReportBatchItemFailures"],
        on_failure="stream:bad",
        enabled=False,
    )


def test_to_api_is_what_boto3_takes() -> None:
    model = botocore.session.Session().get_service_model("lambda")
    shape = model.operation_model("CreateEventSourceMapping").input_shape
    request = full().to_api()
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    assert request["MaximumBatchingWindowInSeconds"] == 5
    assert request["FunctionName"] == "handler"
    assert request["StartingPositionTimestamp"] == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_mapping_goes_to_the_api_and_back() -> None:
    made = full()
    assert Mapping.from_api(made.to_api()).options_document() == made.options_document()


def test_lambdas_answer_is_understood_with_all_that_it_carries() -> None:
    answer = {
        "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "EventSourceArn": KINESIS,
        "EventSourceMappingArn": "arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:x",
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders:7",
        "LastModified": 1769860800.0,
        "LastProcessingResult": "No records processed",
        "State": "Disabled",
        "StateTransitionReason": "User action",
        "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
    }
    mapping = Mapping.from_api(answer)
    assert mapping.function == "orders:7"
    assert mapping.uuid == answer["UUID"]
    assert mapping.enabled is False
    assert mapping.maximum_retry_attempts == -1


def test_an_answer_that_asks_for_more_than_there_is_is_refused() -> None:
    answer = {"EventSourceArn": KINESIS, "FunctionName": "f", "StartingPosition": "LATEST"}
    with pytest.raises(ConfigurationError) as caught:
        Mapping.from_api(answer | {"KMSKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/x"})
    assert caught.value.path == "KMSKeyArn"


def test_a_documents_error_is_told_in_the_users_words() -> None:
    mapping = Mapping("stream:orders", handler, retry_attempts=20_000, **START)
    told = mapping.blame(
        ConfigurationError("20000 is greater than 10000", path="MaximumRetryAttempts")
    )
    assert told.message == "retry_attempts: 20000 is greater than 10000"
    assert told.path == "retry_attempts"
    assert told.code == "PS103"
    assert told.where == str(mapping.origin)
