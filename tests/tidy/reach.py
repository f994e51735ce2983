"""Checks that every source file is reached from a target, a public module or a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy import rust
from tests.tidy.crates import metadata
from tests.tidy.imports import PACKAGE, imports, module_of
from tests.tidy.tree import Source, Tree, Violation

# What people import or start; the rest of the package must be reached from here.
ENTRIES = frozenset(
    {
        "penstock",
        "penstock.__main__",
        "penstock.cli.main",
        "penstock.context",
        "penstock.events",
        "penstock.testing",
    }
)
_TEST_FILE = re.compile(r"(test_\w+|conftest|__init__|__main__)\.py$")


def rust_files(tree: Tree) -> Iterator[Violation]:
    """Every Rust file is a target of its crate or a module of one."""
    by_path = {source.path.resolve(): source for source in tree.rust}
    reached: set[Path] = set()
    waiting = [
        Path(target["src_path"]).resolve()
        for package in metadata(tree.root)
        for target in package["targets"]
    ]
    roots = set(waiting)
    while waiting:
        path = waiting.pop()
        if path in by_path and path not in reached:
            reached.add(path)
            waiting.extend(_declared(by_path[path], is_root=path in roots))
    for path, source in by_path.items():
        if path not in reached:
            yield source.violation("no target and no `mod` reaches this file")


def python_files(tree: Tree) -> Iterator[Violation]:
    """Every module of the package is reached from what people import or start."""
    package = {
        module_of(source): source
        for source in tree.python
        if source.is_below(PACKAGE) and source.path.suffix == ".py"
    }
    reached: set[str] = set()
    waiting = [entry for entry in ENTRIES if entry in package]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting.extend(_mentioned(package[module], module, set(package)))
            waiting.extend(parent for parent in [module.rpartition(".")[0]] if parent in package)
    for module, source in package.items():
        if module not in reached:
            yield source.violation("nothing imports this module")


def tests(tree: Tree) -> Iterator[Violation]:
    """Every Python file below the tests is a test or a program, or is imported by one."""
    sources = [source for source in tree.python if source.is_below("tests")]
    modules = {source.name.removesuffix(".py").replace("/", "."): source for source in sources}
    used = {imported for source in tree.python for imported, _ in imports(source, set(modules))}
    # Files that tests start or check are named in strings.
    strings = "\n".join(source.text for source in sources)
    for module, source in modules.items():
        name = source.path.name
        named = f'{name}"' in strings or f'"{module}"' in strings or "__main__" in source.text
        if not (_TEST_FILE.fullmatch(name) or module in used or named):
            yield source.violation("no test imports or names this file")


def _declared(source: Source, *, is_root: bool) -> Iterator[Path]:
    folder = source.path.resolve().parent
    if not is_root and source.path.name != "mod.rs":
        folder = folder / source.path.stem
    for name, _ in rust.modules(rust.masked(source.text)):
        yield folder / f"{name}.rs"
        yield folder / name / "mod.rs"


def _mentioned(source: Source, module: str, package: set[str]) -> Iterator[str]:
    """Yields the modules a file imports, or names in a string to import later."""
    for imported, _ in imports(source, package):
        if imported in package:
            yield imported
    home = module if source.path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.split(":")[0]
            name = home + name if name.startswith(".") else name
            if name in package:
                yield name
