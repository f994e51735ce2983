"""Answers about registered functions, and calls one for trying it: GetFunction and Invoke."""

from __future__ import annotations

import sys
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from penstock.api.codec import JSON, answer
from penstock.direct import Call, timeout_ms
from penstock.errors import Refusal
from penstock.handlers import Function
from penstock.refusals import THROTTLED, invalid


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


async def invoke(function: Function, arn: str, event: Any, kind: str) -> Response:
    """Call a function: wait for it, only start it, or only see whether it could be called."""
    if kind == "DryRun":
        return answer(None, 204)
    if kind not in {"RequestResponse", "Event"}:
        raise invalid(f"{kind[:64]!r} is no invocation type; use RequestResponse, Event or DryRun")
    call = Call.begin(function, arn, event)
    if call is None:
        raise Refusal("Rate Exceeded.", type=THROTTLED)
    if kind == "Event":
        return answer(None, 202)
    body, failed = await run_in_threadpool(call.wait)
    response = Response(body, 200, media_type=JSON)
    response.headers["x-amzn-RequestId"] = call.request_id
    response.headers["X-Amz-Executed-Version"] = function.version
    if failed:
        response.headers["X-Amz-Function-Error"] = "Unhandled"
    return response
