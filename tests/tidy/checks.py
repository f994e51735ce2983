"""The list of all checks, under the names that tests and failures give them."""

from collections.abc import Callable, Iterator

from tests.tidy import budgets, crates, docs, imports, reach, shape, words
from tests.tidy.tree import Tree, Violation

CHECKS: dict[str, Callable[[Tree], Iterator[Violation]]] = {
    "crate edges": crates.edges,
    "crate lints": crates.lints,
    "composition root": crates.composition,
    "ports run the suite": crates.ports,
    "module edges": imports.edges,
    "tests are apart": imports.tests_are_apart,
    "declared dependencies": imports.dependencies,
    "headers": shape.headers,
    "file lengths": shape.file_lengths,
    "function lengths": shape.function_lengths,
    "line widths": shape.line_widths,
    "nothing left open": words.nothing_left_open,
    "machine paths": words.machine_paths,
    "no printing": words.no_printing,
    "names": words.names,
    "rust files are reached": reach.rust_files,
    "python files are reached": reach.python_files,
    "test files are reached": reach.tests,
    "no unwrap": budgets.unwraps,
    "expect budgets": budgets.expects,
    "links": docs.links,
    "verbs": docs.verbs,
}
