"""Keeps a recent picture of all mappings, so that looking at them waits for nothing.

Rules: while somebody looks, a new picture is taken every tenth of a second, in a thread of its own;
who looks after a long pause waits for the first one; the thread leaves when nobody looks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from penstock.errors import PenstockError
from penstock.mappings.service import Picture
from penstock.workers import main_thread_gone

log = logging.getLogger("penstock.mappings")

_EVERY_S: Final = 0.1
_OLD_S: Final = 1.0
_ALONE_S: Final = 5.0

Pictures = Mapping[str, Picture]


class Gallery:
    """The latest picture, and the thread that takes the next one."""

    def __init__(self, take: Callable[[], Pictures]) -> None:
        self._take = take
        self._lock = threading.Lock()
        self._latest: tuple[float, Pictures] = (float("-inf"), {})
        self._asked_at = 0.0
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def recent(self) -> Pictures:
        """Give a picture that is about a tenth of a second old, or a new one."""
        now = self._asked_at = time.monotonic()
        taken_at, pictures = self._latest
        if now - taken_at <= _OLD_S:
            return pictures
        if self._closed.is_set():
            return pictures
        self._refresh()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="penstock-gallery")
                self._thread.start()
        return self._latest[1]

    def close(self) -> None:
        """Take no pictures any more."""
        self._closed.set()
        thread = self._thread
        if thread is not None:
            thread.join(_OLD_S)

    def _work(self) -> None:
        while not (self._closed.wait(_EVERY_S) or main_thread_gone()):
            with self._lock:
                if time.monotonic() - self._asked_at > _ALONE_S:
                    self._thread = None
                    return
            try:
                self._refresh()
            except PenstockError as error:
                log.debug("no picture of the mappings: %s", error.message)

    def _refresh(self) -> None:
        pictures = self._take()
        self._latest = (time.monotonic(), pictures)
