"""Draws how a failing batch was split until the poison record stood alone.

Rules: the drawing is made of the calls that were seen, in their order; nothing is assumed of how
the engine splits but that it finishes the left half first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.cli.witness import Call


@dataclass(slots=True, kw_only=True)
class Node:
    """One range of records, how its calls ended, and its halves."""

    size: int
    attempts: int
    failed: bool
    halves: list[Node] = field(default_factory=list)


def tree(calls: Sequence[Call]) -> Node | None:
    """Build the tree of calls, which come depth first."""
    if not calls:
        return None
    node, _ = _parse(calls, 0)
    return node


def drawn(calls: Sequence[Call]) -> Iterator[str]:
    """Give the tree as lines of text."""
    root = tree(calls)
    if root is not None:
        yield _label(root)
        yield from _branches(root, "")


def as_data(calls: Sequence[Call]) -> dict[str, Any] | None:
    """Give the tree as data."""
    root = tree(calls)
    return None if root is None else _plain(root)


def _parse(calls: Sequence[Call], place: int) -> tuple[Node, int]:
    call = calls[place]
    node = Node(size=call.size, attempts=1, failed=call.failed)
    place += 1
    while place < len(calls) and (calls[place].first, calls[place].last) == (call.first, call.last):
        node.attempts += 1
        node.failed = calls[place].failed
        place += 1
    while node.failed and len(node.halves) < 2 and place < len(calls):
        if not (call.first <= calls[place].first and calls[place].last <= call.last):
            break
        half, place = _parse(calls, place)
        node.halves.append(half)
    return node, place


def _label(node: Node) -> str:
    records = f"{node.size:,} record{'' if node.size == 1 else 's'}"
    if not node.failed:
        return f"{records}  ok"
    if node.halves:
        return f"{records}  failed, split"
    return f"{records}  failed {node.attempts} times, given up: the poison record"


def _branches(node: Node, indent: str) -> Iterator[str]:
    for place, half in enumerate(node.halves, start=1):
        last = place == len(node.halves)
        yield f"{indent}{'└─ ' if last else '├─ '}{_label(half)}"
        yield from _branches(half, indent + ("   " if last else "│  "))


def _plain(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {
        "records": node.size,
        "attempts": node.attempts,
        "failed": node.failed,
    }
    if node.halves:
        found["halves"] = [_plain(half) for half in node.halves]
    return found
