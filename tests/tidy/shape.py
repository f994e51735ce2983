"""Checks the shape of source files: headers, and the length of files, functions and lines."""

import ast
from collections.abc import Iterator

from tests.tidy import rust
from tests.tidy.tree import Source, Tree, Violation

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100


def headers(tree: Tree) -> Iterator[Violation]:
    """Every source file says its job in its first line."""
    for source in tree.rust:
        if not source.text.startswith("//! "):
            yield source.violation("the first line must say the file's job: //! Does …")
    for source in tree.python:
        if not source.text.startswith(("#!", '"""')) or not _docstring(source):
            yield source.violation("the file must begin with a docstring that says its job")
    for source in tree.scripts:
        if source.path.suffix == "" and not source.text.partition("\n")[2].startswith(
            ("# ", '"""')
        ):
            yield source.violation("the second line must say the script's job", 2)


def file_lengths(tree: Tree) -> Iterator[Violation]:
    """No source file grows past the length at which a second noun hides in it."""
    for source in _sources(tree):
        if len(source.lines) > FILE_LINES_MAX:
            yield source.violation(
                f"{len(source.lines)} lines, {FILE_LINES_MAX} are allowed: find the second noun"
            )


def function_lengths(tree: Tree) -> Iterator[Violation]:
    """No function is longer than a screen."""
    for source in tree.rust + tree.python:
        for span in _functions(source):
            length = span.last - span.first + 1
            if length > FUNCTION_LINES_MAX:
                yield source.violation(
                    f"{span.name} has {length} lines, {FUNCTION_LINES_MAX} are allowed", span.first
                )


def line_widths(tree: Tree) -> Iterator[Violation]:
    """No line is wider than a window."""
    for source in _sources(tree):
        for number, line in enumerate(source.lines, start=1):
            if len(line) > LINE_COLUMNS_MAX and "https://" not in line:
                yield source.violation(
                    f"{len(line)} columns, {LINE_COLUMNS_MAX} are allowed", number
                )


def _sources(tree: Tree) -> list[Source]:
    return tree.rust + tree.python + [script for script in tree.scripts if not script.path.suffix]


def _docstring(source: Source) -> str | None:
    return ast.get_docstring(ast.parse(source.text))


def _functions(source: Source) -> Iterator[rust.Span]:
    if source.path.suffix == ".rs":
        yield from rust.functions(rust.masked(source.text))
        return
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield rust.Span(name=node.name, first=node.lineno, last=node.end_lineno or node.lineno)
