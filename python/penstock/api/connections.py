"""Bounds how long a connection may take to say what it wants.

Rules: the head of a request has a time to arrive in, however slowly its bytes drip; so has the
handshake of TLS before it; what is no request is refused in the API's own form.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from penstock.api.codec import refusal
from penstock.errors import Refusal
from penstock.refusals import NOT_JSON

HEAD_BYTES_MAX: Final = 32 * 1024
HEAD_SECONDS: Final = 10.0
# How long a client may take to say goodbye over TLS.
_GOODBYE_SECONDS: Final = 1.0
_NO_REQUEST: Final = f"A head may have {HEAD_BYTES_MAX} bytes."


class Connection(H11Protocol):
    """One connection of uvicorn's, with bounds."""

    head_seconds = HEAD_SECONDS
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what arrived; the head that it began must be whole in time."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._settle()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or has too large a head, as everything else is refused."""
        refused = refusal(Refusal(f"{msg} {_NO_REQUEST}", type=NOT_JSON))
        refused.headers["Connection"] = "close"
        lines = [b"HTTP/1.1 400 Bad Request", *(b": ".join(each) for each in refused.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(refused.body)]))
        self.transport.close()

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


def bound_handshakes(loop: asyncio.AbstractEventLoop) -> None:
    """Let servers of a loop wait for handshakes as long as for heads; uvicorn cannot be told."""
    bounded = functools.partial(
        loop.create_server,
        ssl_handshake_timeout=Connection.head_seconds,
        ssl_shutdown_timeout=_GOODBYE_SECONDS,
    )
    loop.create_server = bounded  # type: ignore[method-assign]
