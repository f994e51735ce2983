"""Reads the cases of `tests/conformance`, whose form its README describes.

Rules: a case that asks this runner for what only the engine's runner can do is refused when it is
read, so that nothing is left out silently.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2] / "conformance"
_STEPS: Final = frozenset(
    {"start", "settle", "wait_ms", "put", "split", "merge", "pause", "resume", "update"}
    | {"drain_ms", "stop", "expect"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case and where it stands."""

    feature: str
    file: str
    body: dict[str, Any]

    @property
    def steps(self) -> list[tuple[str, Any]]:
        """What happens: names of steps with what they need."""
        given = self.body.get("steps", [{"start": {}}, "settle"])
        return [(s, None) if isinstance(s, str) else next(iter(s.items())) for s in given]

    @property
    def expectations(self) -> list[dict[str, Any]]:
        """Everything that the case expects, on the way and at its end."""
        on_the_way = [what for step, what in self.steps if step == "expect"]
        return [*on_the_way, self.body["expect"]] if "expect" in self.body else on_the_way

    @property
    def moments(self) -> list[int]:
        """When calls are expected, in milliseconds from the start."""
        calls = [call for each in self.expectations for call in each.get("calls") or ()]
        return [int(call.partition("@")[2]) for call in calls if "@" in call]

    @property
    def restarts(self) -> bool:
        """Whether a second process goes on where a first one ended."""
        return sum(step == "start" for step, _ in self.steps) > 1


def read(runner: str) -> Iterator[Case]:
    """Give the cases that a runner can run, by feature and file."""
    for file in sorted(ROOT.glob("*/*.json")):
        body = json.loads(file.read_text(encoding="utf-8"))
        if runner in body.get("runners", ["engine", "python"]):
            case = Case(feature=file.parent.name, file=file.stem, body=body)
            unknown = {step for step, _ in case.steps} - _STEPS
            puts = [*body.get("records", ()), *(p for s, w in case.steps if s == "put" for p in w)]
            if any(isinstance(put, dict) and "age_ms" in put for put in puts):
                unknown.add("age_ms")
            assert runner != "python" or not unknown, f"{file} needs the engine's runner: {unknown}"
            yield case


def merged(whole: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Put the members of `changes` over those of `whole`, objects within objects."""
    result = dict(whole)
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            result[name] = merged(old, value)
        elif value is None and old is not None:
            del result[name]
        else:
            result[name] = value
    return result
