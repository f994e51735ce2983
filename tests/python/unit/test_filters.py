"""Tests filters as people write them, and the command that tries them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock import filters
from penstock.cli.main import main
from penstock.errors import ConfigurationError
from penstock.mappings.model import Mapping

PATTERN = '{"data":{"a":[1]}}'
MATCHING = {"kinesis": {"data": "eyJhIjoxfQ==", "partitionKey": "k"}}
OTHER = {"kinesis": {"data": "eyJhIjoyfQ==", "partitionKey": "k"}}


@pytest.mark.parametrize(
    "given",
    [
        PATTERN,
        [PATTERN],
        [{"data": {"a": [1]}}],
        ({"data": {"a": [1]}},),
        {"Filters": [{"Pattern": PATTERN}]},
        json.dumps({"Filters": [{"Pattern": PATTERN}]}),
        json.dumps([PATTERN]),
    ],
)
def test_patterns_may_be_written_in_many_ways(given: Any) -> None:
    mapping = Mapping("stream:s", "f", starting_position="LATEST", filters=given)
    assert mapping.filter_criteria == (PATTERN,)
    criteria = mapping.options_document()["FilterCriteria"]
    assert criteria == {"Filters": [{"Pattern": PATTERN}]}


@pytest.mark.parametrize("given", [[], {"Filters": []}, {"Filters": None}, "[]"])
def test_no_patterns_are_no_filters(given: Any) -> None:
    assert filters.read(given, "filters", None) == ()


@pytest.mark.parametrize("given", [1, [1], {"filters": []}, {"data": {"a": [1]}}, b"[]", [{1, 2}]])
def test_what_is_no_list_of_patterns_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a list of patterns") as caught:
        filters.read(given, "filters", "tasks.py:3")
    assert (caught.value.code, caught.value.path) == ("PS102", "filters")


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_a_pattern_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        filters.read([{"a": [value]}], "filters", None)


def test_a_pattern_as_text_keeps_its_repeated_keys() -> None:
    text = '{"a":{"b":[1]},"a":{"c":[2]}}'
    assert filters.read([text], "filters", None) == (text,)
    assert filters.read(text, "filters", None) == (text,)


def test_what_the_api_answers_is_understood() -> None:
    answer = {
        "EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/s",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "StartingPosition": "LATEST",
        "FilterCriteria": {"Filters": [{"Pattern": PATTERN}]},
    }
    mapping = Mapping.from_api(answer)
    assert mapping.filter_criteria == (PATTERN,)
    assert mapping.to_api()["FilterCriteria"] == answer["FilterCriteria"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command; give its exit code and what it wrote."""
    code = 0
    try:
        main(["filter", "test", *arguments])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_match_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, PATTERN, json.dumps(MATCHING))[:2] == (0, "match\n")


def test_the_field_that_failed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, PATTERN, json.dumps(OTHER))
    assert (code, out) == (1, "no match: data.a must match [1], and is 2\n")


def test_files_and_whole_events_are_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pattern, event = tmp_path / "pattern.json", tmp_path / "event.json"
    pattern.write_text(PATTERN)
    event.write_text(json.dumps({"Records": [OTHER, MATCHING]}))
    code, out, _ = run(capsys, str(pattern), str(event), "--json")
    answer = json.loads(out)
    assert (code, answer["matched"]) == (0, True)
    assert [record["matched"] for record in answer["records"]] == [False, True]


@pytest.mark.parametrize(
    ("pattern", "event", "words"),
    [
        ('{"a":[]}', "{}", "Invalid filter pattern definition."),
        ('{"a":[1]}', '{"a":', "EVENT: the record is not a JSON object"),
        ("no-such-file.json", "{}", "Invalid filter pattern definition."),
    ],
)
def test_what_is_no_pattern_or_record_is_wrong_use(
    capsys: pytest.CaptureFixture[str], pattern: str, event: str, words: str
) -> None:
    code, _, err = run(capsys, pattern, event)
    assert code == 2
    assert words in err
    assert "hint:" in err or pattern == '{"a":[1]}'
