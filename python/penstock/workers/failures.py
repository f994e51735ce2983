"""Logs failures of handlers: the user's frames only, once per distinct failure, then counted.

Rules: text of an exception is cut at 1 KB and its control characters are escaped, here and in what
the engine is told; no payloads; the table of distinct failures has a bound.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections import OrderedDict
from pathlib import Path
from typing import Final

from penstock.context import Context

TEXT_BYTES_MAX: Final = 1024
_DISTINCT_MAX: Final = 256
_FRAMES_MAX: Final = 25
_PACKAGE: Final = str(Path(__file__).resolve().parent.parent)
_STANDARD: Final = (str(Path(traceback.__file__).parent / "asyncio"),)

log = logging.getLogger("penstock.handler")


class FailureLog:
    """Remembers which failures were told already."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def raised(self, context: Context, error: BaseException) -> None:
        """Tell of an exception, if it is a new one."""
        frames = user_frames(error)
        last = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        key = (context.function_name, type(error).__qualname__, last)
        count = self._count(key)
        head = f"{context.function_name} failed: {type(error).__qualname__}: {message_of(error)}"
        if count == 1:
            log.error("%s", head + "".join(_lines(error)))
        else:
            self._again(head, count)

    def told(self, context: Context, kind: str, message: str) -> None:
        """Tell of a failure that has no traceback, if it is a new one."""
        head = f"{context.function_name} failed: {kind}: {safe_text(message)}"
        count = self._count((context.function_name, kind, message[:200]))
        if count == 1:
            log.error("%s", head)
        else:
            self._again(head, count)

    def _count(self, key: tuple[str, ...]) -> int:
        with self._lock:
            count = self._seen.pop(key, 0) + 1
            self._seen[key] = count
            if len(self._seen) > _DISTINCT_MAX:
                self._seen.popitem(last=False)
            return count

    def _again(self, head: str, count: int) -> None:
        if str(count).strip("0") == "1":
            log.error("%s (%d times so far)", head, count)
        else:
            log.debug("%s (again)", head)


def message_of(error: BaseException) -> str:
    """Give an exception's text, safe to show; its own __str__ may raise."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 -- a broken __str__ must not break the worker
        text = "(its text cannot be had)"
    return safe_text(text)


def safe_text(text: str) -> str:
    """Escape control characters and cut at 1 KB."""
    shown = "".join(c if c.isprintable() or c == " " else _escape(c) for c in text[:4096])
    encoded = shown.encode("utf-8", "backslashreplace")
    if len(encoded) <= TEXT_BYTES_MAX:
        return encoded.decode()
    return encoded[: TEXT_BYTES_MAX - 3].decode("utf-8", "ignore") + "…"


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Give the frames of a traceback that are the user's, the first and last ones of many."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if not _is_ours(frame.filename)]
    # A recursion has a thousand, and its ends tell the story.
    return users if len(users) <= _FRAMES_MAX else users[:5] + users[5 - _FRAMES_MAX :]


def _lines(error: BaseException) -> list[str]:
    lines: list[str] = []
    chain: list[tuple[str, BaseException]] = [("", error)]
    seen = {id(error)}
    while (before := _before(chain[-1][1])) is not None and id(before[1]) not in seen:
        seen.add(id(before[1]))
        chain.append(before)
    for reason, each in chain[:8]:
        if reason:
            lines.append(f"\n{reason} {type(each).__qualname__}: {message_of(each)}")
        for frame in user_frames(each):
            lines.append(f"\n  {frame.filename}:{frame.lineno} in {frame.name}")
            if frame.line:
                lines.append(f"\n    {safe_text(frame.line)}")
    return lines


def _before(error: BaseException) -> tuple[str, BaseException] | None:
    if error.__cause__ is not None:
        return "caused by", error.__cause__
    if error.__context__ is not None and not error.__suppress_context__:
        return "while handling", error.__context__
    return None


def _is_ours(filename: str) -> bool:
    path = str(Path(filename))
    return path.startswith((_PACKAGE + "/workers", *_STANDARD))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
