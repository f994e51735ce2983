"""Judges what handlers saw against what was put, and never asks the engine.

Rules it knows: nothing is lost; within one life a key's records are handled in the order in which
they were put, each once; a record comes again in a later life only if it was in flight at the
kill, or settled so shortly before that no commit can have covered it; after a clean stop nothing
comes again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# A commit waits at most 100 ms; the disk and a busy machine may add to that.
COMMITTED_WITHIN_S = 1.5
# One kill may come upon a machine that stands still for a while.
STANDS_STILL_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One record, as a handler saw it."""

    mark: str
    at: float
    life: int
    mapping: str
    shard: str
    key: str
    n: int
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One record, as it was put."""

    id: int
    key: str
    n: int


def read_journal(path: Path) -> list[Line]:
    """Read every whole line."""
    if not path.exists():
        return []
    lines = []
    # What stands behind the last line's end is still being written.
    whole, _, _ = path.read_text().rpartition("\n")
    for text in whole.splitlines():
        mark, at, life, mapping, shard, key, n, number = text.split(" ")
        lines.append(
            Line(
                mark=mark,
                at=float(at),
                life=int(life),
                mapping=mapping,
                shard=shard,
                key=key,
                n=int(n),
                id=int(number),
            )
        )
    return lines


def handled(lines: Iterable[Line], mapping: str) -> set[int]:
    """Give the ids of the records that were handled to the end."""
    return {line.id for line in lines if line.mark == "E" and line.mapping == mapping}


def check_nothing_lost(lines: Iterable[Line], puts: Iterable[Put], mapping: str) -> None:
    """Every record that was put was handled."""
    seen = handled(lines, mapping)
    lost = [put for put in puts if put.id not in seen]
    assert not lost, f"{mapping}: {len(lost)} records lost, first {lost[:5]}"


def check_order(lines: Iterable[Line], mapping: str) -> None:
    """Within a life, a key's records are handled in the order of their puts, each once."""
    last: dict[tuple[int, str], int] = {}
    for line in lines:
        if line.mark != "E" or line.mapping != mapping:
            continue
        before = last.get((line.life, line.key), -1)
        assert line.n > before, (
            f"{mapping}: key {line.key} came to {line.n} after {before} in life {line.life}"
        )
        last[line.life, line.key] = line.n


def check_never_together(lines: Iterable[Line], mapping: str) -> None:
    """Never two invocations in flight for a key."""
    running: dict[tuple[int, str], float] = {}
    for line in lines:
        if line.mapping != mapping:
            continue
        place = (line.life, line.key)
        if line.mark == "B":
            since = running.setdefault(place, line.at)
            assert since == line.at, (
                f"{mapping}: key {line.key} runs twice at once in life {line.life}: {line}"
            )
        else:
            running.pop(place, None)


def check_repeats(lines: list[Line], kills: Mapping[int, float], mapping: str) -> int:
    """A record comes again only if its handling cannot have been committed. Returns how many."""
    ends: dict[int, list[Line]] = defaultdict(list)
    late: dict[int, float] = {}
    for line in lines:
        if line.mark == "E" and line.mapping == mapping:
            ends[line.id].append(line)
    repeats = 0
    for again in ends.values():
        for earlier in again[:-1]:
            repeats += 1
            killed = kills.get(earlier.life)
            assert killed is not None, (
                f"{mapping}: record {earlier.id} came again though life {earlier.life} ended well"
            )
            late[earlier.life] = max(late.get(earlier.life, 0.0), killed - earlier.at)
    check_committed(late, mapping)
    return repeats


def check_committed(late: Mapping[int, float], mapping: str) -> None:
    """What came again was handled shortly before the kill of its life: so many seconds of each."""
    over = {life: seconds for life, seconds in late.items() if seconds > COMMITTED_WITHIN_S}
    tale = f"{mapping}: handled so many seconds before the kill of a life, and again: {over}"
    assert len(over) <= 1, tale
    assert max(over.values(), default=0) <= STANDS_STILL_S, tale


def check_all(
    path: Path, puts: list[Put], mappings: Iterable[str], kills: Mapping[int, float] | None = None
) -> None:
    """Hold everything that happened against every rule."""
    lines = read_journal(path)
    for mapping in mappings:
        check_nothing_lost(lines, puts, mapping)
        check_order(lines, mapping)
        check_never_together(lines, mapping)
        check_repeats(lines, kills or {}, mapping)
