"""Checks words: what is left open or printed, names that say nothing, paths of one machine."""

import ast
import re
from collections.abc import Iterator

from tests.tidy import rust
from tests.tidy.budgets import product
from tests.tidy.tree import Source, Tree, Violation

# These checks spell the words that they look for.
OURSELVES = "tests/tidy"

_OPEN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\b(todo|unimplemented)!\(|\bNotImplementedError\b")
_MACHINE = re.compile(r"(?<![\w.-])/(work|root|home/\w+)/")
_RUST_PRINT = re.compile(r"\b(e?println?|dbg)!")
_VAGUE_TYPE = re.compile(r"\w*(Manager|Helper|Utils?|Info2)$")
_VAGUE_FUNCTION = re.compile(r"(get|do|process)_\w+$")
_VAGUE_FILE = re.compile(r"(utils?|helpers?|misc|common)\.(rs|pyi?)$")
_RUST_NAME = re.compile(r"\b(struct|enum|trait|type|fn)\s+(\w+)")

# Names that others chose: of Lambda's context, of AWS's operations, of click's groups.
GIVEN_NAMES = frozenset(
    {
        "get_remaining_time_in_millis",
        "get_records",
        "get_shard_iterator",
        "get_event_source_mapping",
        "get_command",
    }
)


def nothing_left_open(tree: Tree) -> Iterator[Violation]:
    """Work that is not done is an open question somewhere else, not a word in the code."""
    yield from _lines(tree.rust + tree.python + tree.scripts, _OPEN, "is left open")


def machine_paths(tree: Tree) -> Iterator[Violation]:
    """No file names a folder of the machine it was written on."""
    yield from _lines(tree.sources, _MACHINE, "is a path of one machine")


def no_printing(tree: Tree) -> Iterator[Violation]:
    """The package writes through click and rich, the crates through tracing."""
    for source in product(tree):
        code = rust.without_tests(rust.masked(source.text))
        for match in _RUST_PRINT.finditer(code):
            line = rust.line_of(code, match.start())
            yield source.violation(f"{match[0]} prints: use tracing", line)
    for source in tree.python:
        if source.is_below("python"):
            for node in ast.walk(ast.parse(source.text)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "pprint"}:
                    yield source.violation("print: use click.echo or logging", node.lineno)


def names(tree: Tree) -> Iterator[Violation]:
    """Names say what a thing is, or what it does."""
    for source in tree.rust + tree.python:
        if _VAGUE_FILE.search(source.path.name) and source.is_below("rust", "python"):
            yield source.violation(f"{source.path.name} is no place for anything in particular")
        for kind, name, line in _definitions(source):
            if name in GIVEN_NAMES:
                continue
            vague = _VAGUE_FUNCTION if kind == "fn" else _VAGUE_TYPE
            if vague.match(name):
                yield source.violation(f"{name} does not say what it is or does", line)


def _lines(sources: list[Source], pattern: re.Pattern[str], what: str) -> Iterator[Violation]:
    for source in sources:
        if source.is_below(OURSELVES):
            continue
        for number, line in enumerate(source.lines, start=1):
            match = pattern.search(line)
            if match:
                yield source.violation(f"{match[0]} {what}", number)


def _definitions(source: Source) -> Iterator[tuple[str, str, int]]:
    if not source.is_below("rust", "python"):
        return
    if source.path.suffix == ".rs":
        code = rust.masked(source.text)
        for match in _RUST_NAME.finditer(code):
            yield match[1], match[2], rust.line_of(code, match.start())
        return
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "fn", node.name, node.lineno
        elif isinstance(node, ast.ClassDef):
            yield "type", node.name, node.lineno
