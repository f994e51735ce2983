"""Checks how many `expect` each crate has outside its tests; the counts only fall."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.tidy import rust
from tests.tidy.tree import Source, Tree, Violation

BUDGETS = "tests/tidy/budgets.json"

_UNWRAP = re.compile(r"\.unwrap\(\)")
_EXPECT = re.compile(r"\.expect\(")


def unwraps(tree: Tree) -> Iterator[Violation]:
    """Outside tests, what cannot fail says why: `expect` with the invariant, never `unwrap`."""
    for source in product(tree):
        code = _code(source)
        for match in _UNWRAP.finditer(code):
            line = rust.line_of(code, match.start())
            yield source.violation("unwrap: use expect, and say why it cannot fail", line)


def expects(tree: Tree) -> Iterator[Violation]:
    """The number of `expect` of each crate is the recorded one, and the record only falls."""
    recorded = json.loads((tree.root / BUDGETS).read_text(encoding="utf-8"))
    found = Counter(dict.fromkeys(recorded, 0))
    for source in product(tree):
        found[source.name.split("/")[1]] += len(_EXPECT.findall(_code(source)))
    for crate, count in sorted(found.items()):
        budget = recorded.get(crate, 0)
        if count > budget:
            rule = f"{crate} has {count} expect, {budget} are allowed: return an error instead"
            yield Violation(path=BUDGETS, line=1, rule=rule)
        elif count < budget:
            rule = f"{crate} has only {count} expect left: lower its budget of {budget}"
            yield Violation(path=BUDGETS, line=1, rule=rule)


def product(tree: Tree) -> Iterator[Source]:
    """Yields the Rust files that are compiled into the product."""
    only_tests: set[Path] = set()
    for source in tree.rust:
        for name, is_test in rust.modules(rust.masked(source.text)):
            if is_test:
                folder = source.path.parent
                home = (
                    folder
                    if source.path.name in {"lib.rs", "mod.rs"}
                    else folder / source.path.stem
                )
                only_tests |= {home / f"{name}.rs", home / name}
    for source in tree.rust:
        parts = source.name.split("/")
        shipped = only_tests.isdisjoint({source.path, *source.path.parents})
        if shipped and parts[0] == "rust" and parts[2] == "src":
            yield source


def _code(source: Source) -> str:
    return rust.without_tests(rust.masked(source.text))
