"""Checks the layers of the Rust workspace: which crate may know which, and what the engine uses.

A new edge is a decision about the architecture: it is made in ARCHITECTURE.md and here together.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.tidy import rust
from tests.tidy.tree import Tree, Violation

PORTS = frozenset({"penstock-engine", "penstock-runtime"})
ALLOWED_EDGES = {
    "penstock-engine": frozenset[str](),
    "penstock-runtime": frozenset({"penstock-engine"}),
    "penstock-aws": PORTS,
    "penstock-kafka": PORTS,
    "penstock-python": PORTS | {"penstock-aws", "penstock-kafka"},
    "penstock-sim": frozenset({"penstock-engine"}),
    "penstock-servers": frozenset[str](),
    "penstock-benches": PORTS,
    "penstock-bound": frozenset[str](),
}
# What only the tests of a crate may know besides.
TESTS_KNOW = {"penstock-aws": frozenset({"penstock-servers"})}
ENGINE_USES = frozenset({"base64", "bytes", "serde", "serde_json", "thiserror", "tracing"})
ENGINE_TESTS_USE = frozenset({"proptest"})

# What a crate is told by its name not to know.
ONLY_IN = {
    "pyo3": frozenset({"penstock-python", "penstock-bound"}),
    "rusqlite": frozenset({"penstock-runtime"}),
    "rdkafka": frozenset({"penstock-kafka"}),
    "aws-sigv4": frozenset({"penstock-aws"}),
    "hyper": frozenset({"penstock-aws", "penstock-servers"}),
}
# The one file of the extension that knows which sources there are. (What is known of credentials
# is no source: Python hands them in.)
COMPOSITION_ROOT = "rust/penstock-python/src/registry.rs"
_PORT = re.compile(r"\bimpl (\w+Source|\w+Store|Destination) for (\w+)")
_SOURCE = re.compile(r"\bpenstock_(aws|kafka)\b(?!::access)")


@lru_cache
def metadata(root: Path) -> list[dict[str, Any]]:
    """Returns the workspace's own packages, as cargo describes them."""
    if not (root / "Cargo.toml").exists():
        return []
    answer = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=60,
    )
    packages: list[dict[str, Any]] = json.loads(answer.stdout)["packages"]
    return packages


def edges(tree: Tree) -> Iterator[Violation]:
    """A crate depends only on the layers below it, and the engine on a closed list."""
    for package in metadata(tree.root):
        name = package["name"]
        manifest = Path(package["manifest_path"]).relative_to(tree.root).as_posix()
        for dependency in package["dependencies"]:
            reason = _refusal(name, dependency["name"], dependency["kind"])
            if reason:
                yield Violation(path=manifest, line=1, rule=reason)


def lints(tree: Tree) -> Iterator[Violation]:
    """Every crate takes the workspace's lints."""
    for package in metadata(tree.root):
        manifest = Path(package["manifest_path"])
        settings = tomllib.loads(manifest.read_text(encoding="utf-8"))
        if settings.get("lints") != {"workspace": True}:
            name = manifest.relative_to(tree.root).as_posix()
            yield Violation(path=name, line=1, rule="must have [lints] workspace = true")


def composition(tree: Tree) -> Iterator[Violation]:
    """Only one file of the extension names the sources."""
    for source in tree.rust:
        if not source.is_below("rust/penstock-python") or source.name == COMPOSITION_ROOT:
            continue
        for number, line in enumerate(rust.masked(source.text).splitlines(), start=1):
            if _SOURCE.search(line):
                yield source.violation(f"only {COMPOSITION_ROOT} may name a source", number)


def ports(tree: Tree) -> Iterator[Violation]:
    """Every implementation of a port runs the suite that its kind shares."""
    tests = [source for source in tree.rust if "ports_suite!" in source.text]
    for source in tree.rust:
        # What stands in for a port in somebody's tests may be as broken as they need.
        if not source.is_below("rust") or "tests" in source.path.parts[:-1]:
            continue
        code = rust.without_tests(rust.masked(source.text))
        for match in _PORT.finditer(code):
            crate = source.name.split("/")[1]
            if not any(test.is_below(f"rust/{crate}") and match[2] in test.text for test in tests):
                line = rust.line_of(code, match.start())
                yield source.violation(f"{match[2]} does not run ports_suite!", line)


def _refusal(crate: str, dependency: str, kind: str | None) -> str | None:
    if crate not in ALLOWED_EDGES:
        return f"{crate} has no place in the layers: give it one in tests/tidy/crates.py"
    if dependency.startswith("penstock-"):
        tests = TESTS_KNOW.get(crate, frozenset()) if kind == "dev" else frozenset[str]()
        if dependency not in ALLOWED_EDGES[crate] | tests | {crate}:
            return f"{crate} must not know {dependency}"
        return None
    if crate == "penstock-engine":
        allowed = ENGINE_USES | (ENGINE_TESTS_USE if kind == "dev" else frozenset())
        if dependency not in allowed:
            return f"the engine's dependencies are closed, and {dependency} is not among them"
    for outsider, homes in ONLY_IN.items():
        if dependency == outsider and crate not in homes and kind != "dev":
            return f"{crate} must not know {dependency}"
    return None
