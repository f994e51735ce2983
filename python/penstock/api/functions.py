"""Answers about registered functions, and calls one for trying it: GetFunction and Invoke.

Rules: what a request asks for is done as Lambda does it or refused by name, never read over; an
Event is called once, by nobody again if it fails.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from penstock.api.codec import JSON, answer, read_json
from penstock.api.validation import checked
from penstock.context import ClientContext, client_context
from penstock.direct import Call, timeout_ms
from penstock.errors import Refusal
from penstock.handlers import Function
from penstock.refusals import EVENT_TOO_LARGE, NOT_JSON, THROTTLED, invalid

DRY_RUN: Final = "DryRun"
EVENT: Final = "Event"
# AWS's own: of an Event's payload in bytes, and of a client context in base64's letters.
EVENT_BYTES_MAX: Final = 1024 * 1024
_CLIENT_CONTEXT_CHARS_MAX: Final = 3583
_HEADERS: Final = {
    "InvocationType": "x-amz-invocation-type",
    "LogType": "x-amz-log-type",
    "ClientContext": "x-amz-client-context",
    "DurableExecutionName": "x-amz-durable-execution-name",
    "TenantId": "x-amz-tenant-id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request of Invoke asks for, besides its event."""

    function: str
    qualifier: str | None
    kind: str
    client: ClientContext | None


def describe(function: Function, arn: str) -> dict[str, Any]:
    """Describe a function as Lambda does, as far as there is something to say."""
    return {
        "FunctionName": function.name,
        "FunctionArn": arn,
        "Handler": f"{getattr(function.handler, '__module__', '')}.{function.name}",
        "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Timeout": timeout_ms(function) // 1000,
        "MemorySize": function.memory_size,
        "Version": function.version,
        "State": "Active",
    }


def read_invocation(request: Request, named: Mapping[str, Any]) -> Asked:
    """Understand the headers of Invoke; refuse what penstock has no way to do."""
    told = {member: request.headers.get(name) for member, name in _HEADERS.items()}
    asked = checked("Invoke", told | dict(named))
    if asked.get("LogType") == "Tail":
        raise invalid(
            "LogType Tail is not supported.",
            hint="what a function writes goes to the streams and loggers of penstock's process",
        )
    if "DurableExecutionName" in asked:
        raise invalid("DurableExecutionName is not supported: no function here is durable.")
    if "TenantId" in asked:
        raise invalid("TenantId is not supported: no function here has tenant isolation.")
    client = _client_context(asked["ClientContext"]) if "ClientContext" in asked else None
    return Asked(
        function=asked["FunctionName"],
        qualifier=asked.get("Qualifier"),
        kind=asked.get("InvocationType", "RequestResponse"),
        client=client,
    )


def read_event(asked: Asked, body: bytes) -> Any:
    """Read the event that a function is called with: any JSON, and {} where there is no body."""
    if asked.kind == EVENT and len(body) > EVENT_BYTES_MAX:
        raise Refusal(
            f"{len(body)} byte payload is too large for the Event invocation type (limit "
            f"{EVENT_BYTES_MAX} bytes)",
            type=EVENT_TOO_LARGE,
        )
    return read_json(body) if body else {}


async def invoke(function: Function, arn: str, asked: Asked, event: Any) -> Response:
    """Call a function: wait for it, only start it, or only see whether it could be called.

    As on Lambda, only a caller that waits has its client context handed on.
    """
    if asked.kind == DRY_RUN:
        return answer(None, 204)
    client = None if asked.kind == EVENT else asked.client
    call = Call.begin(function, arn, event, client)
    if call is None:
        raise Refusal("Rate Exceeded.", type=THROTTLED)
    if asked.kind == EVENT:
        started = answer(None, 202)
        started.headers["x-amzn-RequestId"] = call.request_id
        return started
    body, failed = await run_in_threadpool(call.wait)
    response = Response(body, 200, media_type=JSON)
    response.headers["x-amzn-RequestId"] = call.request_id
    response.headers["X-Amz-Executed-Version"] = function.version
    if failed:
        response.headers["X-Amz-Function-Error"] = "Unhandled"
    return response


def _client_context(text: str) -> ClientContext:
    """Understand a client context: base64 of one JSON object."""
    told: Any = None
    if len(text) <= _CLIENT_CONTEXT_CHARS_MAX:
        with contextlib.suppress(ValueError, RecursionError):
            told = json.loads(base64.b64decode(text, validate=True))
    if isinstance(told, dict) and isinstance(told.get("client") or {}, dict):
        return client_context(told)
    raise Refusal(
        "Client context must be a valid Base64-encoded JSON object.",
        type=NOT_JSON,
        hint=f"of at most {_CLIENT_CONTEXT_CHARS_MAX} letters of base64",
    )
