"""Speaks of tumbling windows for the cases: states that handlers return, and what is expected.

Rules: a window is reckoned from the arrival of a record and the length, not from what the engine
says; a long state is compared by its bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

# Every length of a window that cases use divides this, and they begin so far into it.
PERIOD_MS: Final = 900_000
TURN_MS: Final = 800_250
_SHOWN_BYTES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The windows of a case."""

    length_s: int
    handler: dict[str, Any]

    def answer(self, answer: Any, numbers: list[int], event: dict[str, Any]) -> Any:
        """Give what a handler answers, with the state that it keeps."""
        if isinstance(answer, dict) and "state_bytes" in answer:
            frame = len(compact({"pad": ""}))
            return {"return": {"state": {"pad": "x" * (answer["state_bytes"] - frame)}}}
        if not self.handler.get("aggregates") or event["isFinalInvokeForWindow"]:
            return answer
        seen = event["state"].get("seen", [])
        if answer == "ok":
            return {"return": {"state": {"seen": [*seen, *numbers]}}}
        if isinstance(answer, dict) and "report" in answer:
            reported = [number for number in numbers if number in answer["report"]]
            added = numbers[: numbers.index(reported[0])] if reported else numbers
            failures = [{"itemIdentifier": f"$seq:{number}"} for number in reported]
            return {"return": {"batchItemFailures": failures, "state": {"seen": [*seen, *added]}}}
        return answer

    def bounds(self, arrival_ms: int) -> tuple[str, str]:
        """Give the first moment of the window that holds a moment, and the first behind it."""
        start = arrival_ms // 1000 // self.length_s * self.length_s
        return _moment(start), _moment(start + self.length_s)


def title(numbers: str, event: dict[str, Any]) -> str:
    """Name a call as cases do: by its records, or by how it ends a window."""
    if numbers:
        return numbers
    return "early" if event["isWindowTerminatedEarly"] else "final"


def info(event: dict[str, Any]) -> dict[str, Any]:
    """Give what a document says of the window of a call."""
    names = ("window", "isFinalInvokeForWindow", "isWindowTerminatedEarly")
    return {name: event[name] for name in names}


def shown(state: Any) -> Any:
    """Give a state as cases write it."""
    size = len(compact(state).encode())
    return state if size <= _SHOWN_BYTES_MAX else f"$bytes:{size}"


def compact(state: Any) -> str:
    """Give the compact JSON of a state."""
    return json.dumps(state, separators=(",", ":"), ensure_ascii=False)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
