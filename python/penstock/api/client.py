"""Asks the owner of a state directory over its control socket.

Rules: an answer with an error is raised as the class that the owner raised; when nobody owns the
directory, that is said and not guessed around.
"""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from penstock import errors
from penstock.api.control_names import HEADER, HOST
from penstock.api.server import SOCKET, socket_address
from penstock.errors import PenstockError

_TIMEOUT_SECONDS: Final = 30.0


class NoOwner(PenstockError):
    """Nothing runs on the state directory."""

    default_code = "PS700"


class Client:
    """A terminal's side of the control socket."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def snapshot(self) -> dict[str, Any]:
        """Give the owner's picture of everything."""
        return self._ask("GET", "/v1/snapshot")

    def why(self) -> dict[str, Any]:
        """Give the snapshot, what handlers are doing, and the names of mappings."""
        return self._ask("GET", "/v1/why")

    def checkpoints(self, mapping: str) -> dict[str, Any]:
        """Give what is saved for a mapping."""
        return self._ask("GET", f"/v1/mappings/{quote(mapping)}/checkpoints")

    def move_checkpoints(self, mapping: str, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out an operator's move."""
        body = json.dumps(command).encode()
        return self._ask("POST", f"/v1/mappings/{quote(mapping)}/checkpoints", body)

    def pause(self, mapping: str) -> None:
        """Pause a mapping."""
        self._ask("POST", f"/v1/mappings/{quote(mapping)}/pause", b"{}")

    def resume(self, mapping: str) -> None:
        """Let a mapping go on."""
        self._ask("POST", f"/v1/mappings/{quote(mapping)}/resume", b"{}")

    def streams(self, document: bytes) -> bytes:
        """Carry out a command of embedded streams."""
        return json.dumps(self._ask("POST", "/v1/streams", document)).encode()

    def queues(self, document: bytes) -> bytes:
        """Carry out a command of embedded queues."""
        return json.dumps(self._ask("POST", "/v1/queues", document)).encode()

    def is_answered(self) -> bool:
        """Whether there is an owner."""
        try:
            connection = connect(self._state)
        except NoOwner:
            return False
        connection.close()
        return True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(HOST, timeout=_TIMEOUT_SECONDS)
        connection.sock = connect(self._state)
        headers = {"Host": HOST, HEADER: "1"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise PenstockError(
                f"the engine on {self._state} did not answer",
                code="PS700",
                retryable=True,
                hint="it may be busy or just ending; try again",
            ) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise _error_of(answer)
        return answer


def connect(state: Path) -> socket.socket:
    """Connect to the owner of a state directory."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(_TIMEOUT_SECONDS)
    try:
        if not (state / SOCKET).exists():
            raise FileNotFoundError(state / SOCKET)
        with socket_address(state) as address:
            client.connect(address)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        client.close()
        raise NoOwner(
            f"no engine runs on the state directory {state}",
            hint="start one with penstock run, or name its directory with --state",
        ) from error
    except OSError as error:
        client.close()
        raise PenstockError(
            f"the engine on {state} cannot be asked: {error.strerror or error}",
            code="PS700",
            hint="the control socket is its owner's alone; run this as the same user",
        ) from error
    return client


def _error_of(answer: dict[str, Any]) -> PenstockError:
    kind = getattr(errors, str(answer.get("kind")), PenstockError)
    if not (isinstance(kind, type) and issubclass(kind, PenstockError)):
        kind = PenstockError
    return kind(
        str(answer.get("message", "the engine refused")),
        code=answer.get("code"),
        hint=answer.get("hint"),
    )
