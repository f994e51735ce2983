"""Keeps the embedded queue of a case: sends its messages and knows what became of them.

Rules: messages have the numbers of the case; a duplicate that a FIFO queue drops takes no number;
what a receive adds to a message is known from the newest event that showed it, and the moment
of the first one from the first, if it can be one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_SENDER = "penstock"


@dataclass(slots=True)
class Queue:
    """The queue of a case, and its dead-letter queue."""

    spec: dict[str, Any]
    run: Callable[[bytes], bytes]
    ids: list[str] = field(default_factory=list)
    sequences: list[str | None] = field(default_factory=list)
    sent_ms: list[int] = field(default_factory=list)
    first_ms: dict[int, int] = field(default_factory=dict)
    newest: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return "orders.fifo" if self.spec.get("fifo") else "orders"

    @property
    def _dead(self) -> str | None:
        end = ".fifo" if self.spec.get("fifo") else ""
        return f"dead{end}" if "max_receive_count" in self.spec else None

    def create(self) -> None:
        """Create it as the case says."""
        redrive: dict[str, Any] = {}
        if self._dead:
            self._ask(op="create", name=self._dead)
            redrive = {
                "dead_letter_queue": self._dead,
                "max_receive_count": self.spec["max_receive_count"],
            }
        self._ask(
            op="create",
            name=self.name,
            visibility_timeout_s=self.spec.get("visibility_s", 30),
            **redrive,
        )

    def put(self, puts: list[Any], now_ms: int) -> None:
        """Send what the case says, in one command."""
        entries: list[dict[str, Any]] = []
        for put in puts:
            full: dict[str, Any] = {"data": put} if isinstance(put, str) else put
            for _ in range(full.get("times", 1)):
                entries.append(self._entry(full, len(self.ids) + len(entries)))
        if not entries:
            return
        for sent in self._ask(op="send", name=self.name, messages=entries)["messages"]:
            if sent["message_id"] not in self.ids:
                self.ids.append(sent["message_id"])
                self.sequences.append(sent["sequence_number"])
                self.sent_ms.append(now_ms)

    def saw(self, event: dict[str, Any], now_ms: int) -> list[int]:
        """Note what an event shows; the numbers of its messages."""
        numbers = [self.ids.index(record["messageId"]) + 1 for record in event["Records"]]
        for number, record in zip(numbers, event["Records"], strict=True):
            told = int(record["attributes"]["ApproximateFirstReceiveTimestamp"])
            fits = self.sent_ms[number - 1] <= told <= now_ms
            self.first_ms.setdefault(number, told if fits else now_ms)
            self.newest[number] = record
        return numbers

    def known(self, what: str, number: int) -> Any:
        """What stands in the place of `$WHAT:NUMBER` in a case, if anything does."""
        if not 0 < number <= len(self.ids):
            return None
        if what == "receipt":
            return self.newest[number]["receiptHandle"]
        return {
            "id": self.ids[number - 1],
            "sequence": self.sequences[number - 1],
            "sent": str(self.sent_ms[number - 1]),
            "first": str(self.first_ms.get(number)),
            "sender": _SENDER,
        }.get(what)

    def standing(self) -> dict[str, list[int]]:
        """Give the numbers of what was deleted, moved away, left, and can be received now."""
        left = self._browse(self.name)
        dead = self._browse(self._dead) if self._dead else []
        number = {each: at for at, each in enumerate(self.ids, start=1)}
        here = [number[each["message_id"]] for each in left]
        away = [number[each["message_id"]] for each in dead]
        return {
            "deleted": [n for n in number.values() if n not in here and n not in away],
            "dead": away,
            "left": here,
            "visible": [number[each["message_id"]] for each in left if each["visible"]],
        }

    def _browse(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask(op="browse", name=name)["messages"]
        return found

    def _entry(self, put: dict[str, Any], at: int) -> dict[str, Any]:
        entry = {
            "body": put.get("data", "x" * put.get("bytes", 1)),
            "delay_s": put.get("delay_s"),
            "attributes": put.get("attributes", {}),
        }
        if self.spec.get("fifo"):
            entry["group"] = put.get("group", "g")
            entry["deduplication_id"] = put.get("deduplication", f"message-{at}")
        return entry

    def _ask(self, **command: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run(json.dumps(command).encode()))
        return answer
