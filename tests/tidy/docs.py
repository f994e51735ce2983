"""Checks the documents against the tree: their links lead somewhere, their verbs exist."""

import re
from collections.abc import Iterator

from tests.tidy.tree import Tree, Violation

_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
_VERB = re.compile(r"`make ([a-z-]+)`|^\s*make ([a-z-]+)\b", re.MULTILINE)
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


def links(tree: Tree) -> Iterator[Violation]:
    """Every link of a document leads to a file of this tree."""
    for source in tree.sources:
        if source.path.suffix != ".md":
            continue
        for number, line in enumerate(source.lines, start=1):
            for target in _LINK.findall(line):
                if not (source.path.parent / target).exists():
                    yield source.violation(f"{target} does not exist", number)


def verbs(tree: Tree) -> Iterator[Violation]:
    """Every `make` verb that a document speaks of is one of the Makefile's."""
    makefile = tree.root / "Makefile"
    known = (
        set(_TARGET.findall(makefile.read_text(encoding="utf-8"))) if makefile.exists() else set()
    )
    for source in tree.sources:
        if source.path.suffix != ".md":
            continue
        for match in _VERB.finditer(source.text):
            verb = match[1] or match[2]
            if verb not in known:
                line = source.text.count("\n", 0, match.start()) + 1
                yield source.violation(f"the Makefile has no verb {verb}", line)
