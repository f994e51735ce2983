"""Compares penstock with event-ruler, and asks event-ruler again where they differ.

Event-ruler merges all values of a field into one automaton, and some mixtures of values (wildcards
beside numbers, ranges beside texts) give answers that are wrong by its own rules, a few of them
different from run to run. Since 2.0 it also indexes the event by array, and loses what stands
outside an array when the same path is inside it as well. So a pattern is asked about again without
the index, as one pattern for each choice of values (they are alternatives), several times over:
only where that agrees with the first answer is a difference one of penstock's.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.ruler.generate import OPERATORS, Pair
from tests.ruler.oracle import Oracle

_CHOICES_MAX: Final = 200
_TIMES: Final = 5
# Event-ruler finds numbers in blocks that are this wide, since it compares digits of any kind.
_WIDE_BLOCKS: Final = ("0.0.0.0/0", "::/0", "::/3")
# A number compares when the shortest text of its double is the same decimal. Java before 19 does
# not always find the shortest. The generator's own long numbers are ones on which it does.
_LONG_NUMBER: Final = re.compile(
    r"(?<!\d)(?!9007199254740992|9007199254740993|1152921504606846976|12345678901234567(?!\d)"
    r"|123456789012345678901)\d{16,}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A pair on which the two differ."""

    pair: Pair
    ruler: str
    ours: str

    def __str__(self) -> str:
        return (
            f"\n  pattern  {self.pair.pattern}\n  event    {self.pair.event}"
            f"\n  ruler    {self.ruler}\n  penstock {self.ours}"
        )


@dataclass(slots=True)
class Comparison:
    """What came of comparing many pairs."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


def compare(pairs: list[Pair], oracle: Oracle, ours: Callable[[Pair], str]) -> Comparison:
    """Ask both about every pair; `ours` answers as the oracle does."""
    comparison = Comparison()
    answers = oracle.answers((pair.pattern, pair.event) for pair in pairs)
    for pair, ruler in zip(pairs, answers, strict=True):
        answer = ours(pair)
        if _verdict(ruler) == _verdict(answer):
            comparison.counts[_verdict(answer)] += 1
        elif _numbers_in_blocks(pair, ruler):
            comparison.counts["numbers in wide blocks"] += 1
        elif _LONG_NUMBER.search(pair.pattern + pair.event):
            comparison.counts["Java's text of a long number"] += 1
        elif _verdict(answer) in _again(pair, oracle):
            comparison.counts["event-ruler contradicts itself"] += 1
        else:
            difference = Difference(pair=pair, ruler=ruler, ours=answer)
            comparison.differences.append(difference)
    return comparison


def _verdict(answer: str) -> str:
    return answer.partition(":")[0]


def _numbers_in_blocks(pair: Pair, ruler: str) -> bool:
    wide = any(f'"cidr":"{block}"' in pair.pattern for block in _WIDE_BLOCKS)
    return wide and ruler == "match"


def _again(pair: Pair, oracle: Oracle) -> set[str]:
    choices = list(itertools.islice(single_choices(pair.pattern), _CHOICES_MAX))
    asked = [(choice, pair.event) for choice in choices] * _TIMES
    verdicts = [_verdict(answer) for answer in oracle.answers(asked, indexed=False)]
    rounds = [verdicts[start :: len(choices)] for start in range(len(choices))]
    found = set()
    for each in zip(*rounds, strict=True):
        found.add("match" if "match" in each else each[0])
    return found


class _Number(str):
    """A number as it is written."""


def single_choices(pattern: str) -> Iterable[str]:
    """Give one pattern for each choice of a single value in each list of the pattern."""
    try:
        tree = json.loads(
            pattern, object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number
        )
    except ValueError:
        return [pattern]
    return _choices(tree, fields=True)


class _Members(list[tuple[str, Any]]):
    """The members of an object, in order, the repeated ones too."""


def _choices(value: Any, *, fields: bool, branches: bool = False) -> Iterable[str]:
    if isinstance(value, _Members):
        members = [
            [f"{json.dumps(key)}:{text}" for text in _member(key, inner, fields=fields)]
            for key, inner in value
        ]
        return ("{" + ",".join(chosen) + "}" for chosen in itertools.product(*members))
    if isinstance(value, list):
        if branches:
            inner = [list(_choices(each, fields=True)) for each in value]
            return ("[" + ",".join(chosen) + "]" for chosen in itertools.product(*inner))
        if fields and value:
            return [f"[{_written(each)}]" for each in value]
    return [_written(value)]


def _member(key: str, value: Any, *, fields: bool) -> list[str]:
    branches = (
        key == "$or"
        and isinstance(value, list)
        and len(value) > 1
        and all(isinstance(each, _Members) for each in value)
        # With an operator among them the list is that of a field with an odd name.
        and not any(name in OPERATORS for each in value for name, _ in each)
    )
    return list(_choices(value, fields=fields, branches=branches))


def _written(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, _Members):
        inner = (f"{json.dumps(key)}:{_written(each)}" for key, each in value)
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value)
