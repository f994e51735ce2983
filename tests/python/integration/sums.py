"""Adds up the records of windows in a process that tests kill, and judges the sums.

A call appends one line of JSON before it returns: what it got and what it made of it. The judge
knows only these lines, and the records that were put: every record is in the final state of one
window, the states of a window are one chain, and a final call comes again only if its process was
killed before what it returned can have been saved.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.python.integration.observer import check_committed

Line = dict[str, Any]
# One window: its shard and its first moment.
Place = tuple[str, str]


def summing(path: str, life: int, behaviour: Mapping[str, Any]) -> Callable[[Any, Any], Any]:
    """Make a handler that sums; a state lists the records that it holds."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        time.sleep(behaviour.get("sleep_ms", 0) / 1_000)
        records = [json.loads(base64.b64decode(r["kinesis"]["data"])) for r in event["Records"]]
        before = event["state"].get("ids", [])
        state = {
            "ids": [*before, *(record["id"] for record in records)],
            "sum": event["state"].get("sum", 0) + sum(record["id"] for record in records),
        }
        arrivals = [r["kinesis"]["approximateArrivalTimestamp"] for r in event["Records"]]
        line = {
            "at": time.time(),
            "life": life,
            "shard": event["shardId"],
            "start": event["window"]["start"],
            "end": event["window"]["end"],
            "final": event["isFinalInvokeForWindow"],
            "early": event["isWindowTerminatedEarly"],
            "first": min(arrivals, default=None),
            "last": max(arrivals, default=None),
            "before": len(before),
            **state,
        }
        os.write(file, (json.dumps(line) + "\n").encode())
        return {"state": state}

    return handler


def read(path: Path) -> list[Line]:
    """Read every whole line."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(text) for text in whole.splitlines()]


def finished(lines: Iterable[Line]) -> set[int]:
    """Give the ids of the records that are in the state of a final call."""
    return {number for line in lines if line["final"] for number in line["ids"]}


def late(lines: Iterable[Line]) -> int:
    """Count the calls with a record that had arrived before its window began."""
    return sum(not line["final"] and line["first"] < _seconds(line["start"]) for line in lines)


def check(lines: list[Line], ids: set[int], kills: Mapping[int, float]) -> None:
    """Hold everything that happened against every rule."""
    finals: dict[Place, list[Line]] = defaultdict(list)
    chains: dict[Place, set[tuple[int, ...]]] = defaultdict(set)
    for line in lines:
        place = (line["shard"], line["start"])
        assert _seconds(line["end"]) - _seconds(line["start"]) == 60, line
        assert _seconds(line["start"]) % 60 == 0, line
        assert not line["early"], line
        if line["final"]:
            finals[place].append(line)
        else:
            assert line["last"] < _seconds(line["end"]), f"a record is behind its window: {line}"
            chains[place].add(tuple(line["ids"]))
            assert line["before"] == 0 or tuple(line["ids"][: line["before"]]) in chains[place], (
                f"{place}: no call made the state that this one got: {line}"
            )
    late: dict[int, float] = {}
    for place, calls in finals.items():
        _check_finals(place, calls, kills, late)
        assert tuple(calls[-1]["ids"]) in chains[place], f"{place}: a final state of nobody"
    check_committed(late, "final calls")
    held = [number for calls in finals.values() for number in calls[-1]["ids"]]
    assert len(held) == len(set(held)), "a record is in two windows"
    assert ids <= set(held), f"{len(ids - set(held))} records are in no window"
    assert all(calls[-1]["sum"] == sum(calls[-1]["ids"]) for calls in finals.values())


def _check_finals(
    place: Place, calls: list[Line], kills: Mapping[int, float], late: dict[int, float]
) -> None:
    for earlier, again in pairwise(calls):
        killed = kills.get(earlier["life"])
        assert killed is not None, f"{place}: its final call comes again after a good life"
        assert again["life"] > earlier["life"], f"{place}: its final call comes twice in a life"
        late[earlier["life"]] = max(late.get(earlier["life"], 0.0), killed - earlier["at"])
        assert sorted(earlier["ids"]) == sorted(again["ids"]), f"{place} ends in two states"


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
