"""Reads as much of Rust as the checks need: code without its comments and strings, and its blocks.

Masking keeps every line and column where it was, so that places found in masked text are true.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A character literal is told from a lifetime by its closing quote.
_QUIET = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | b?r(?P<hashes>\#*)".*?"(?P=hashes)
      | [bc]?"(?:[^"\\]|\\.)*"
      | b?'(?:[^'\\\n]|\\[^\n]+?)'""",
    re.VERBOSE | re.DOTALL,
)
_FUNCTION = re.compile(r"\bfn\s+(\w+)")
_FOR_TESTS = r"#\[cfg\((?:any\(|all\()?test\b[^\]]*\]\s*"
_VISIBLE = r"(?:pub(?:\([^)]*\))?\s+)?"
_MODULE = re.compile(rf"(?P<test>{_FOR_TESTS})?{_VISIBLE}\bmod\s+(\w+)\s*;")
_TEST_BLOCK = re.compile(rf"{_FOR_TESTS}{_VISIBLE}mod\s+\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A named block, from its first line to its last."""

    name: str
    first: int
    last: int


def masked(text: str) -> str:
    """Returns the code with comments, strings and character literals blanked out."""
    return _QUIET.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def functions(code: str) -> Iterator[Span]:
    """Yields every function that has a body, from masked code."""
    for match in _FUNCTION.finditer(code):
        start = _body(code, match.end())
        if start is not None:
            end = _closing(code, start)
            yield Span(name=match[1], first=line_of(code, match.start()), last=line_of(code, end))


def without_tests(code: str) -> str:
    """Returns masked code with its `#[cfg(test)]` modules blanked out."""
    for match in reversed(list(_TEST_BLOCK.finditer(code))):
        start = _body(code, match.end())
        if start is not None:
            end = _closing(code, start) + 1
            blank = re.sub(r"[^\n]", " ", code[match.start() : end])
            code = code[: match.start()] + blank + code[end:]
    return code


def modules(code: str) -> Iterator[tuple[str, bool]]:
    """Yields the modules that masked code declares in files, and whether only tests see them."""
    for match in _MODULE.finditer(code):
        yield match[2], match["test"] is not None


def line_of(text: str, position: int) -> int:
    """Returns the line, counted from one, of a position in a text."""
    return text.count("\n", 0, position) + 1


def _body(code: str, start: int) -> int | None:
    """Finds the brace that opens a body, unless the declaration ends without one."""
    depth = 0
    for position in range(start, len(code)):
        match code[position]:
            case "(" | "[":
                depth += 1
            case ")" | "]":
                depth -= 1
            case "{" if depth == 0:
                return position
            case ";" if depth == 0:
                return None
    return None


def _closing(code: str, start: int) -> int:
    """Finds the brace that closes the one at `start`."""
    depth = 0
    for position in range(start, len(code)):
        if code[position] == "{":
            depth += 1
        elif code[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    return len(code) - 1
