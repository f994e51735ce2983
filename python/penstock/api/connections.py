"""Bounds how many connections there are, and how long one may take to say what it wants.

Rules: a connection too many is closed before it is read; the head of a request has a time to
arrive in, however slowly its bytes drip.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX: Final = 256
HEAD_BYTES_MAX: Final = 32 * 1024
HEAD_SECONDS: Final = 10.0


class Connection(H11Protocol):
    """One connection of uvicorn's, with bounds."""

    head_seconds = HEAD_SECONDS
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or end at once when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what arrived; the head that it began must be whole in time."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._settle()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.head_seconds, self.transport.close)

    def _settle(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
