"""Carries messages between the parent and a child: a kind, a length, and bytes.

Rules: a message has a bound; what is not one is told apart from the end of the line, since a
handler may have written to the channel; a wait for a message has an end.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

CALL: Final = b"C"  # a frame lies in the shared memory; the payload is its length
FRAME: Final = b"F"  # a frame is the payload
SETUP: Final = b"S"
QUIT: Final = b"Q"
READY: Final = b"R"
BROKEN: Final = b"B"  # the child cannot work; the payload says why
ENDING: Final = b"E"
LOG: Final = b"L"

BYTES_MAX: Final = 64 * 1024 * 1024
_KINDS: Final = frozenset((CALL, FRAME, SETUP, QUIT, READY, BROKEN, ENDING, LOG))
_HEAD: Final = struct.Struct("<2scI")
_MARK: Final = b"\xf5p"


class Rubbish(Exception):
    """What came is no message."""


class Channel:
    """One end of the line between a parent and a child."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._buffer = bytearray()

    def fileno(self) -> int:
        """Give the descriptor of the line."""
        return self._line.fileno()

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Send one message; an OSError says that nobody is there."""
        head = _HEAD.pack(_MARK, kind, len(payload))
        self._line.settimeout(None)
        self._line.sendall(head + payload if len(payload) < 65_536 else head)
        if len(payload) >= 65_536:
            self._line.sendall(payload)

    def receive(self, timeout: float | None = None) -> tuple[bytes, bytes] | None:
        """Give the next message; None at the end of the line. A wait too long is a TimeoutError."""
        while True:
            message = self._message()
            if message is not None:
                return message
            self._line.settimeout(timeout)
            piece = self._line.recv(262_144)
            if not piece:
                return None
            self._buffer += piece

    def close(self) -> None:
        """Give up the line."""
        self._line.close()

    def _message(self) -> tuple[bytes, bytes] | None:
        if len(self._buffer) < _HEAD.size:
            return None
        mark, kind, length = _HEAD.unpack_from(self._buffer)
        if mark != _MARK or kind not in _KINDS or length > BYTES_MAX:
            raise Rubbish(f"{bytes(self._buffer[:8])!r} is no message")
        end = _HEAD.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        return kind, payload
