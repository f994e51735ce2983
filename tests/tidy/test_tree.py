"""Runs every check on this checkout."""

from pathlib import Path

import pytest

from tests.tidy.checks import CHECKS
from tests.tidy.tree import Tree

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(root=ROOT)


def test_the_tree_is_read(tree: Tree) -> None:
    assert len(tree.rust) > 20
    assert {"Makefile", "README.md", ".ci/run"} <= {source.name for source in tree.sources}


@pytest.mark.parametrize("name", CHECKS)
def test_this_checkout_keeps_the_rule(name: str, tree: Tree) -> None:
    violations = sorted(CHECKS[name](tree))
    assert not violations, "\n" + "\n".join(map(str, violations))
