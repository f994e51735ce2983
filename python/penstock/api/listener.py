"""Bounds how many connections there are at once.

Rules: a connection too many is closed before it is read; one counts from when it is taken, also
while it shakes hands over TLS, until it is closed.
"""

from __future__ import annotations

import socket
from typing import Any, Final

CONNECTIONS_MAX: Final = 256


class Listener(socket.socket):
    """A listening socket that counts the connections that it has handed out."""

    def __init__(self, *kind: int) -> None:
        super().__init__(*kind)
        self._open: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Take a connection; one too many is closed, and there is none for this turn."""
        connection, address = super().accept()
        if len(self._open) >= CONNECTIONS_MAX:
            self._open = [each for each in self._open if each.fileno() >= 0]
        if len(self._open) >= CONNECTIONS_MAX:
            connection.close()
            raise BlockingIOError
        self._open.append(connection)
        return connection, address
