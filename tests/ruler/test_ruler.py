"""Holds filters against event-ruler: generated pairs, and where it is known to be otherwise.

`PENSTOCK_SEED` repeats a run, `PENSTOCK_PAIRS` makes it longer.
"""

import json
import os
import time

import pytest

from penstock import _bridge
from penstock.errors import ConfigurationError
from tests.ruler.generate import Pair, pairs, wildcards
from tests.ruler.opinions import compare, single_choices
from tests.ruler.oracle import Oracle, missing_tools

PAIRS = 1_000
needs_java = pytest.mark.skipif(
    bool(missing_tools()) and "CI" not in os.environ,
    reason="event-ruler needs java, javac and mvn",
)


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return Oracle(tmp_path_factory.mktemp("oracle"))


def ours(pair: Pair) -> str:
    """Answers as the oracle does."""
    try:
        matched, _ = _bridge.matches(pair.pattern, pair.event.encode())
    except ConfigurationError as error:
        return f"{(error.path or '').lower().replace('record', 'event')}: {error.hint}"
    return "match" if matched else "no"


@needs_java
def test_filters_are_those_of_event_ruler(oracle: Oracle) -> None:
    seed = int(os.environ.get("PENSTOCK_SEED") or time.time_ns() % 1_000_000)
    count = int(os.environ.get("PENSTOCK_PAIRS") or PAIRS)
    comparison = compare(pairs(seed, count), oracle, ours)
    again = f"PENSTOCK_SEED={seed} PENSTOCK_PAIRS={count}: {dict(comparison.counts)}"
    assert not comparison.differences, again + "".join(map(str, comparison.differences[:10]))
    for verdict in ("match", "no", "pattern"):
        assert comparison.counts[verdict] > count // 20, again
    assert comparison.counts["event-ruler contradicts itself"] <= 1 + count // 500, again


@needs_java
def test_wildcards_are_refused_where_event_ruler_finds_them_too_complex(oracle: Oracle) -> None:
    seed = int(os.environ.get("PENSTOCK_SEED") or time.time_ns() % 1_000_000)
    made = wildcards(seed, 1_000)
    asked = [(json.dumps({"a": [{"wildcard": each}]}), "{}") for each in made]
    # The service refuses one of 11 and takes one of 7; event-ruler itself has no bound.
    answers = [answer.partition(":")[0] for answer in oracle.answers(asked, complexity=10)]
    found = [ours(Pair(*pair)).partition(":")[0] for pair in asked]
    different = [
        (wildcard, ruler, answer)
        for wildcard, ruler, answer in zip(made, answers, found, strict=True)
        if ruler != answer
    ]
    assert not different, f"PENSTOCK_SEED={seed}: {different[:5]}"
    assert 100 < found.count("pattern") < 900, f"PENSTOCK_SEED={seed}"


@needs_java
def test_where_filters_are_not_those_of_event_ruler(oracle: Oracle) -> None:
    known = {
        "digits of a number are no address": Pair('{"a":["16.16.16.16"]}', '{"a":10101010}'),
        "a character beyond 16 bits has a case": Pair(
            '{"a":[{"equals-ignore-case":"𐐀"}]}', '{"a":"𐐨"}'
        ),
        "text behind a pattern is no part of it": Pair('{"a":["x"]} junk', '{"a":"x"}'),
        "text behind an event is no part of it": Pair('{"a":["x"]}', '{"a":"x"} junk'),
    }
    answers = oracle.answers((pair.pattern, pair.event) for pair in known.values())
    found = {
        name: (answer.partition(":")[0], ours(pair).partition(":")[0])
        for (name, pair), answer in zip(known.items(), answers, strict=True)
    }
    assert found == {
        "digits of a number are no address": ("match", "no"),
        "a character beyond 16 bits has a case": ("no", "match"),
        "text behind a pattern is no part of it": ("match", "pattern"),
        "text behind an event is no part of it": ("match", "event"),
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_pair_follows_from_its_seed(seed: int) -> None:
    assert pairs(seed, 20) == pairs(seed, 20)
    assert pairs(seed, 20) != pairs(seed + 1, 20)


def test_an_or_of_operators_is_a_field_whose_values_are_choices() -> None:
    pattern = '{"$or":[{"exactly":"x"},{"wildcard":"*a"}]}'
    assert list(single_choices(pattern)) == [
        '{"$or":[{"exactly":"x"}]}',
        '{"$or":[{"wildcard":"*a"}]}',
    ]


def test_a_pattern_is_taken_apart_into_its_choices() -> None:
    pattern = '{"a":[1.0,{"prefix":"x"}],"$or":[{"b":["y"]},{"b":[null,2]}],"$or":["z"]}'
    assert list(single_choices(pattern)) == [
        '{"a":[1.0],"$or":[{"b":["y"]},{"b":[null]}],"$or":["z"]}',
        '{"a":[1.0],"$or":[{"b":["y"]},{"b":[2]}],"$or":["z"]}',
        '{"a":[{"prefix":"x"}],"$or":[{"b":["y"]},{"b":[null]}],"$or":["z"]}',
        '{"a":[{"prefix":"x"}],"$or":[{"b":["y"]},{"b":[2]}],"$or":["z"]}',
    ]
