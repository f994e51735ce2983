"""Checks the layers of the Python package: who may import whom, and what is declared for it."""

import ast
import sys
import tomllib
from collections.abc import Iterator

from tests.tidy.tree import Source, Tree, Violation

PACKAGE = "python/penstock"
EXTENSION = "penstock._penstock"
PARTS = frozenset({"api", "cli", "dashboard", "mappings", "workers"})
# Nothing else imports these: they stand on top of the rest.
TOPS = frozenset({"cli", "dashboard"})

# Modules that run in a child process or describe data, and must not drag the rest along.
MAY_IMPORT = {
    "penstock.context": frozenset[str](),
    "penstock.errors": frozenset[str](),
    "penstock.events": frozenset[str](),
}
# What a child process loads: the handler's calls and the event builder, no runtime.
MAY_IMPORT_IN_CHILD = ("penstock.context", "penstock.handlers", "penstock.workers", EXTENSION)
MAY_IMPORT_EXTENSION = frozenset({"penstock._bridge", "penstock.workers._child"})


def edges(tree: Tree) -> Iterator[Violation]:
    """A module imports only what stands below it."""
    known = {module_of(source) for source in _package(tree)}
    for source in _package(tree):
        importer = module_of(source)
        for imported, line in imports(source, known):
            reason = _refusal(importer, imported)
            if reason:
                yield source.violation(reason, line)


def tests_are_apart(tree: Tree) -> Iterator[Violation]:
    """Nothing outside the tests imports from them; benches use the servers that tests start."""
    for source in tree.python:
        if source.is_below("tests"):
            continue
        for imported, line in imports(source, set()):
            served = source.is_below("benches") and imported.startswith("tests.services")
            if imported.split(".")[0] == "tests" and not served:
                yield source.violation(f"only tests may import {imported}", line)


def dependencies(tree: Tree) -> Iterator[Violation]:
    """What pyproject.toml declares is imported, and what is imported is declared."""
    manifest = tree.root / "pyproject.toml"
    if not manifest.exists():
        return
    project = tomllib.loads(manifest.read_text(encoding="utf-8"))["project"]
    declared = {_distribution(requirement) for requirement in project.get("dependencies", ())}
    used: dict[str, tuple[Source, int]] = {}
    for source in _package(tree):
        for imported, line in imports(source, set()):
            used.setdefault(imported.split(".")[0], (source, line))
    # pytest comes from the test suite that uses the fixture of penstock.testing.
    ours = sys.stdlib_module_names | {"penstock", "pytest"}
    for name in sorted(used.keys() - declared - ours):
        source, line = used[name]
        yield source.violation(f"{name} is imported but not declared in pyproject.toml", line)
    for name in sorted(declared - used.keys()):
        yield Violation(
            path="pyproject.toml", line=1, rule=f"{name} is declared but nothing imports it"
        )


def module_of(source: Source) -> str:
    """Returns the dotted name of a file of the package."""
    parts = source.path.with_suffix("").parts
    name = ".".join(parts[len(parts) - 1 - parts[::-1].index("penstock") :])
    return name.removesuffix(".__init__")


def imports(source: Source, known: set[str]) -> Iterator[tuple[str, int]]:
    """Yields every import of a file, to the module when what is imported is one."""
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known | {EXTENSION} else node.module, node.lineno


def _package(tree: Tree) -> list[Source]:
    return [
        source for source in tree.python if source.is_below(PACKAGE) and source.path.suffix == ".py"
    ]


def _refusal(importer: str, imported: str) -> str | None:
    if not imported.startswith("penstock"):
        if importer == "penstock.context" and imported.split(".")[0] not in sys.stdlib_module_names:
            return f"{importer} imports the standard library only, not {imported}"
        return None
    if imported == EXTENSION and importer not in MAY_IMPORT_EXTENSION:
        return f"only penstock._bridge may import {EXTENSION}"
    if importer in MAY_IMPORT and imported not in MAY_IMPORT[importer]:
        return f"{importer} must not import {imported}"
    if importer == "penstock.workers._child" and not imported.startswith(MAY_IMPORT_IN_CHILD):
        return f"{importer} must not import {imported}"
    here, there = _part(importer), _part(imported)
    if there in TOPS and here != there and importer != "penstock.__main__":
        return f"nothing imports {there}"
    if here and there and here not in {there, "cli"} and imported != f"penstock.{there}":
        return f"{here} must not import the inside of {there}"
    return None


def _part(module: str) -> str | None:
    names = module.split(".")
    return names[1] if len(names) > 1 and names[1] in PARTS else None


def _distribution(requirement: str) -> str:
    name = requirement.split(";")[0].split("[")[0]
    for sign in "<>=!~ ":
        name = name.split(sign)[0]
    return name.replace("-", "_")
