"""Writes answers and errors of the mapping API as the Lambda service writes them; reads bodies.

Rules: a status and a body's members follow from the error's code, capitals included; timestamps are
numbers of seconds; a body that is not one JSON object is refused before anything looks at it.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from starlette.responses import Response

from penstock.errors import Refusal
from penstock.refusals import NOT_JSON

DEPTH_MAX: Final = 128
KEYS_MAX: Final = 10_000
JSON: Final = "application/json"

STATUSES: Final = {
    "InvalidParameterValueException": 400,
    "InvalidRequestContentException": 400,
    "SerializationException": 400,
    "ValidationException": 400,
    "ResourceInUseException": 400,
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "UnrecognizedClientException": 403,
    "ResourceNotFoundException": 404,
    "RequestTimeoutException": 408,
    "ResourceConflictException": 409,
    "RequestEntityTooLargeException": 413,
    "RequestTooLargeException": 413,
    "TooManyRequestsException": 429,
    "ServiceException": 500,
}
# How the message is spelled, and who is to blame.
_CAPITAL: Final = frozenset({
    "AccessDeniedException", "ResourceNotFoundException", "ResourceInUseException",
    "ServiceException",
})  # fmt: skip
# What is left of their bodies is not worth reading.
_HALF_READ: Final = frozenset({"RequestTimeoutException", "RequestTooLargeException"})
_NO_TYPE: Final = frozenset({
    "AccessDeniedException", "ExpiredTokenException", "IncompleteSignatureException",
    "InvalidSignatureException", "MissingAuthenticationTokenException", "SerializationException",
    "UnrecognizedClientException", "ValidationException",
})  # fmt: skip


def answer(document: Any, status: int = 200) -> Response:
    """Write an answer."""
    body = b"" if document is None else json.dumps(document, separators=(",", ":")).encode()
    return Response(body, status, headers=_headers(), media_type=None if status == 204 else JSON)


def refusal(error: Refusal) -> Response:
    """Write an error."""
    key = "Message" if error.type in _CAPITAL else "message"
    document: dict[str, Any] = {key: error.message}
    if error.type not in _NO_TYPE:
        document["Type"] = "Service" if error.type == "ServiceException" else "User"
    if error.type == "TooManyRequestsException":
        document["Reason"] = "CallerRateLimitExceeded"
    if error.hint:
        document["Hint"] = error.hint
    headers = _headers() | {"x-amzn-ErrorType": error.type}
    if error.type in _HALF_READ:
        headers["Connection"] = "close"
    body = json.dumps(document, separators=(",", ":")).encode()
    return Response(body, STATUSES[error.type], headers=headers, media_type=JSON)


def read_object(body: bytes) -> dict[str, Any]:
    """Read a body: one JSON object, or nothing."""
    if not body:
        return {}
    document = read_json(body)
    if not isinstance(document, dict):
        raise _unreadable("expected an object")
    return document


def read_json(body: bytes) -> Any:
    """Read JSON text of a bounded depth, without repeated members or numbers that are none."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(f"invalid UTF-8 at byte {error.start}") from None
    keys = 0

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal keys
        keys += len(pairs)
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise _unreadable(f"duplicate member {twice[:64]!r}")
        if keys > KEYS_MAX:
            raise _unreadable(f"it has more than {KEYS_MAX} members")
        return found

    def constant(name: str) -> Any:
        raise _unreadable(f"{name} is not JSON")

    try:
        document = json.loads(text, object_pairs_hook=members, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise _unreadable(str(error)) from None
    if _depth(document) > DEPTH_MAX:
        raise _unreadable(f"it is nested deeper than {DEPTH_MAX}")
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _unreadable("an escape stands for half a character") from None
    return document


def _depth(document: Any) -> int:
    """Give the deepest nesting, without recursion."""
    deepest, waiting = 0, [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list):
            deepest = max(deepest, depth)
            inner = value.values() if isinstance(value, dict) else value
            waiting += [(each, depth + 1) for each in inner]
    return deepest


def _unreadable(reason: str) -> Refusal:
    return Refusal(f"Could not parse request body into json: {reason}", type=NOT_JSON)


def _headers() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}
