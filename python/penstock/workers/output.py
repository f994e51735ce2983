"""Passes on what a child writes to its standard streams, and remembers its last lines.

Rules: a line appears in the parent's stream of the same kind, whole; what is remembered has a
bound; a child that writes without end, or closes its streams, holds nothing up but itself.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from typing import IO, Final, TextIO

from penstock.workers.failures import safe_text

_KEPT_LINES: Final = 5
_LINE_BYTES_MAX: Final = 65_536
_END_SECONDS: Final = 1.0


class Lines:
    """The standard streams of one child."""

    def __init__(self) -> None:
        self._kept: deque[str] = deque(maxlen=_KEPT_LINES)
        self._threads: list[threading.Thread] = []

    def watch(self, output: IO[bytes] | None, errors: IO[bytes] | None) -> None:
        """Begin to pass lines on."""
        for stream, name in ((output, "stdout"), (errors, "stderr")):
            if stream is not None:
                thread = threading.Thread(
                    target=self._pass_on, args=(stream, name), name=f"penstock-child-{name}",
                    daemon=True,
                )  # fmt: skip
                thread.start()
                self._threads.append(thread)

    def last(self) -> str:
        """Give the last lines, safe to show."""
        self.end()
        return safe_text(" | ".join(self._kept))

    def end(self) -> None:
        """Wait a moment for what the child wrote before it ended."""
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def _pass_on(self, stream: IO[bytes], name: str) -> None:
        with stream:
            for line in iter(lambda: stream.readline(_LINE_BYTES_MAX), b""):
                text = line.decode("utf-8", "backslashreplace")
                self._kept.append(text.rstrip()[:512])
                target: TextIO | None = getattr(sys, name)
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    assert target is not None
                    target.write(text)
                    target.flush()
