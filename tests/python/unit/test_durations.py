"""Tests how durations are read and written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock import durations
from penstock.errors import ConfigurationError
from penstock.wording import counted, words


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (30, 30.0),
        (0.5, 0.5),
        ("30", 30.0),
        ("30s", 30.0),
        (" 5 m ", 300.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("2d", 172_800.0),
        ("250ms", 0.25),
        ("-1", -1.0),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_durations_are_read(written: durations.Duration, expected: float) -> None:
    assert durations.seconds(written, option="max_time") == pytest.approx(expected)


@pytest.mark.parametrize(
    "written", ["", "s", "5 parsecs", "1h30m", "1e3", True, None, float("nan"), float("inf"), []]
)
def test_what_is_no_duration_is_refused_with_its_name(written: object) -> None:
    with pytest.raises(ConfigurationError, match="max_time") as caught:
        durations.seconds(written, option="max_time", where="app.py:3")  # type: ignore[arg-type]
    assert caught.value.code == "PS112"
    assert caught.value.where == "app.py:3"
    assert caught.value.path == "max_time"


def test_lambdas_fields_are_whole_seconds() -> None:
    assert durations.whole_seconds("1m", option="x") == 60
    with pytest.raises(ConfigurationError, match="whole number of seconds"):
        durations.whole_seconds("1500ms", option="x")


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (0.0004, "0.4 ms"),
        (0.041, "41 ms"),
        (0.9996, "1.0 s"),
        (1.84, "1.8 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (7380, "2 h 03 min"),
    ],
)
def test_spans_are_written_for_people(span: float, expected: str) -> None:
    assert words(span) == expected


def test_numbers_agree_with_their_nouns() -> None:
    assert counted(1, "shard") == "1 shard"
    assert counted(0, "shard") == "0 shards"
    assert counted(2497, "batch") == "2,497 batches"
