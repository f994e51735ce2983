"""Makes pairs of a pattern and an event that are likely to have to do with each other.

Rules: a pair follows from its seed alone; both are made of a small store of keys and values, so
that matches are common; some patterns are malformed on purpose.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

_KEYS: Final = ("a", "b", "c", "aa", "A", "é", "a.b", "b.c", "$or", "prefix", "数")
_TEXTS: Final = (
    "", "x", "X", "xy", "xyz", "yx", "x*y", "é", "É", "É!", "straße", "STRASSE", "İ", "i", "k", "K",
    "\u212a", "ς", "σ", "5", "true", "null", "a\\b", 'q"q', "\t", "数x", "ⱥ", "10.0.0.1",
    "010.0.0.1", "10.0.0.255", "10.1.0.0", "1.2.3.999", "::1", "0:0:0:0:0:0:0:1", "2001:db8::1",
    "::ffff:a00:1", "ab:cd", ":", "aaaaaaaaab", "aXbXc",
)  # fmt: skip
_NUMBERS: Final = (
    "0", "-0", "-0.0", "1", "1.0", "1e0", "5", "5.10", "5.1", "10", "-3", "300", "300.0", "3.0e2",
    "3E+2", "0.1", "1e22", "1e300", "9007199254740992", "9007199254740993", "1152921504606846976",
    "0.12345678901234567", "1e400", "-1e400", "4.9e-324", "123456789012345678901",
)  # fmt: skip
_WORDS: Final = ("true", "false", "null")
_WILDCARDS: Final = (
    "*", "", "x*", "*x", "*y*", "x*z", "a*b*c", "*a*b", "x\\*y", "a\\\\b", "a**b", "\\q", "é*",
    "*数*", "10.*", "*aab", "a*a*a*b",
)  # fmt: skip
_BLOCKS: Final = (
    "10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/31", "10.0.0.1/32", "2001:db8::/32", "::/0",
    "::1/127", "10.0.0.0", "10.0.0.0/x", "10.0.0.0//8", "10.0.0.0/8/", "a/b", "1::/128", "::/3",
)  # fmt: skip
_OPERATORS: Final = (*("=", "<", "<=", ">", ">=") * 8, "==", "!=")


@dataclass(frozen=True, slots=True)
class Pair:
    """A pattern and an event, as text."""

    pattern: str
    event: str


def pairs(seed: int, count: int) -> list[Pair]:
    """Make that many pairs."""
    random = Random(seed)
    made = []
    for _ in range(count):
        pattern = _Pattern(random)
        made.append(Pair(pattern.text, _event(random, pattern.hints)))
    return made


def wildcards(seed: int, count: int) -> list[str]:
    """Make that many wildcards, some of which repeat themselves a lot."""
    random = Random(seed)
    made = []
    for _ in range(count):
        pieces = [
            random.choice(("a", "aa", "ab", "ba", "b", "é", '"', "a" * 8)) * random.randint(1, 3)
            for _ in range(random.randint(1, 6))
        ]
        star = random.choice(("*", "*a", "", "a*"))
        made.append(random.choice(("", "*")) + "*".join(pieces) + star)
    return [each.replace("**", "*") for each in made]


def _quoted(random: Random, text: str) -> str:
    return json.dumps(text, ensure_ascii=random.random() < 0.5)


def _text(random: Random) -> str:
    return _quoted(random, random.choice(_TEXTS))


def _number(random: Random) -> str:
    return random.choice(_NUMBERS)


def _scalar(random: Random) -> str:
    kind = random.random()
    if kind < 0.55:
        return _text(random)
    return _number(random) if kind < 0.85 else random.choice(_WORDS)


def _listed(random: Random, item: Callable[[Random], str]) -> str:
    count = random.choice((1, 1, 2, 3)) if random.random() < 0.95 else 0
    return "[" + ",".join(item(random) for _ in range(count)) + "]"


def _one_or_more(random: Random, item: Callable[[Random], str]) -> str:
    return item(random) if random.random() < 0.5 else _listed(random, item)


def _numeric(random: Random) -> str:
    terms = [f'"{random.choice(_OPERATORS)}",{_number(random)}']
    if random.random() < 0.5:
        terms = [f'"{random.choice((">", ">="))}",{_number(random)}']
        terms.append(f'"{random.choice(("<", "<="))}",{_number(random)}')
    if random.random() < 0.05:
        terms.append(_scalar(random))
    return "[" + ",".join(terms) + "]"


def _anything_but(random: Random) -> str:
    def wildcard(random: Random) -> str:
        return json.dumps(random.choice(_WILDCARDS))

    kind = random.random()
    if kind < 0.3:
        return _one_or_more(random, _text)
    if kind < 0.48:
        return _one_or_more(random, _number)
    if kind < 0.5:
        return _one_or_more(random, _scalar)
    inner = random.choice((*("prefix", "suffix", "equals-ignore-case", "wildcard") * 6, "numeric"))
    item = wildcard if inner == "wildcard" else _text
    operand = _one_or_more(random, item)
    # Event-ruler takes an empty list here and fails when the rule is added.
    return "{" + f'"{inner}":{"5" if operand == "[]" else operand}' + "}"


def _edge(random: Random) -> str:
    if random.random() < 0.6:
        return _text(random)
    return '{"equals-ignore-case":' + _text(random) + "}"


_EXPRESSIONS: Final[dict[str, Callable[[Random], str]]] = {
    "prefix": _edge,
    "suffix": _edge,
    "equals-ignore-case": _text,
    "exactly": _text,
    "wildcard": lambda random: json.dumps(random.choice(_WILDCARDS)),
    "numeric": _numeric,
    "exists": lambda random: random.choice(("true", "false")),
    "anything-but": _anything_but,
    "cidr": lambda random: json.dumps(random.choice(_BLOCKS)),
}


OPERATORS: Final = frozenset(_EXPRESSIONS)


def _element(random: Random) -> str:
    if random.random() < 0.45:
        return _scalar(random)
    name = random.choice(list(_EXPRESSIONS))
    operand = _EXPRESSIONS[name](random)
    if random.random() < 0.02:
        operand = _scalar(random)
    if random.random() < 0.01:
        return random.choice(("{}", "[]", '{"nonsense":1}', '{"prefix":"a","suffix":"b"}'))
    return "{" + f'"{name}":{operand}' + "}"


class _Pattern:
    """A pattern, and for each of its paths a value that may pass there."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.hints: list[tuple[tuple[str, ...], str]] = []
        self.text = self._fields((), 0)
        if random.random() < 0.02:
            place = random.randrange(len(self.text))
            wrong = random.choice(("", ",", "]", '"', "0"))
            self.text = self.text[:place] + wrong + self.text[place + 1 :]

    def _fields(self, path: tuple[str, ...], depth: int) -> str:
        random = self._random
        members = []
        for _ in range(random.choice((1, 1, 2, 2, 3))):
            if random.random() < 0.12:
                branches = [self._fields(path, depth + 1) for _ in range(random.choice((2, 2, 3)))]
                members.append('"$or":[' + ",".join(branches) + "]")
                continue
            key = random.choice(_KEYS[:4] * 4 + _KEYS)
            if depth < 3 and random.random() < 0.4:
                value = self._fields((*path, key), depth + 1)
            else:
                value = self._values((*path, key))
            members.append(f"{_quoted(random, key)}:{value}")
        return "{" + ",".join(members) + "}"

    def _values(self, path: tuple[str, ...]) -> str:
        random = self._random
        elements = [_element(random) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        scalars = [each for each in elements if not each.startswith(("{", "["))]
        hint = random.choice(scalars) if scalars and random.random() < 0.7 else _scalar(random)
        self.hints.append((path, hint))
        return "[" + ",".join(elements) + "]"


_Hints = list[tuple[tuple[str, ...], str]]


def _event(random: Random, hints: _Hints) -> str:
    if random.random() < 0.1:
        return _object(random, 0)
    kept = [hint for hint in hints if random.random() < 0.93]
    return _shaped(random, kept, 0)


def _shaped(random: Random, hints: _Hints, depth: int) -> str:
    """Make an object in which most hints stand at their paths, some in arrays, some twice."""
    members = []
    for key in dict.fromkeys(path[0] for path, _ in hints):
        below = [(path[1:], value) for path, value in hints if path[0] == key]
        members.append(f"{_quoted(random, key)}:{_around(random, below, depth)}")
        if random.random() < 0.05:
            members.append(f"{_quoted(random, key)}:{_around(random, below, depth)}")
    if random.random() < 0.3:
        members.append(f"{_quoted(random, random.choice(_KEYS))}:{_value(random, depth)}")
    random.shuffle(members)
    return "{" + ",".join(members) + "}"


def _around(random: Random, hints: _Hints, depth: int) -> str:
    def one() -> str:
        deeper = [hint for hint in hints if hint[0]]
        here = [value for path, value in hints if not path]
        if deeper and (not here or random.random() < 0.6):
            share = [hint for hint in deeper if random.random() < 0.85]
            return _shaped(random, share, depth + 1)
        return random.choice(here) if here else _value(random, depth)

    kind = random.random()
    if kind < 0.55:
        return one()
    if kind < 0.9:
        return "[" + ",".join(one() for _ in range(random.randint(1, 3))) + "]"
    if kind < 0.95:
        return "[[" + one() + "]," + one() + "]"
    return _value(random, depth)


def _value(random: Random, depth: int) -> str:
    kind = random.random()
    if depth >= 4 or kind < 0.4:
        return _scalar(random)
    if kind < 0.7:
        return _object(random, depth + 1)
    return "[" + ",".join(_value(random, depth + 1) for _ in range(random.randint(0, 3))) + "]"


def _object(random: Random, depth: int) -> str:
    members = [
        f"{_quoted(random, random.choice(_KEYS[:4] * 3 + _KEYS))}:{_value(random, depth)}"
        for _ in range(random.choice((0, 1, 2, 3, 4)))
    ]
    return "{" + ",".join(members) + "}"
