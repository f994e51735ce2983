"""Calls one function for trying it, beside the workers of mappings, as Lambda's Invoke does.

Rules: a call runs on a thread of its own, and only a few at once; what the handler raises is data;
a call that runs longer than the function's timeout is over then, though a thread cannot be stopped.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from penstock.context import Context, Delivery, current
from penstock.handlers import AIO, Function
from penstock.workers.answers import encode_answer
from penstock.workers.failures import message_of, user_frames

_AT_ONCE_MAX: Final = 8
_TIMEOUT_MS: Final = 60_000
_slots = threading.BoundedSemaphore(_AT_ONCE_MAX)


class Call:
    """One call, on a thread of its own."""

    def __init__(self, function: Function, arn: str, event: Any, client: Any = None) -> None:
        self.request_id = str(uuid.uuid4())
        self._ended = threading.Event()
        self._failed = False
        self._body: bytes | None = None
        self._function = function
        self._event = event
        self._context = _context(function, arn, self.request_id)
        self._context.client_context = client
        name = f"penstock-invoke-{function.name}"
        # What a handler does for ever must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @classmethod
    def begin(cls, function: Function, arn: str, event: Any, client: Any = None) -> Call | None:
        """Start a call, unless too many run already; `client` is its context's client_context."""
        if not _slots.acquire(blocking=False):
            return None
        call = cls(function, arn, event, client)
        call._thread.start()
        return call

    def wait(self) -> tuple[bytes, bool]:
        """Wait for the end, or the timeout; gives the answer, and whether the call failed."""
        if self._ended.wait(timeout_ms(self._function) / 1000):
            return self._body or b"null", self._failed
        return _timed_out(self._function, self.request_id) or b"null", True

    def _run(self) -> None:
        current.set(self._context)  # this thread's own context: nothing to reset
        try:
            self._body = encode_answer(self._called())
        except BaseException as error:  # noqa: BLE001 -- sys.exit in a handler fails its call only
            self._failed = True
            self._body = _raised(error, self.request_id)
        finally:
            self._ended.set()
            _slots.release()

    def _called(self) -> Any:
        handler = self._function.handler
        if self._function.pool != AIO:
            return handler(self._event, self._context)

        async def awaited() -> Any:
            async with asyncio.timeout(timeout_ms(self._function) / 1000):
                return await handler(self._event, self._context)

        return asyncio.run(awaited())


def _context(function: Function, arn: str, request_id: str) -> Context:
    deadline = time.monotonic() + timeout_ms(function) / 1000
    remaining: Callable[[], int] = lambda: int((deadline - time.monotonic()) * 1000)  # noqa: E731
    return Context(
        aws_request_id=request_id,
        function_name=function.name,
        function_version=function.version,
        invoked_function_arn=arn,
        memory_size=function.memory_size,
        log_stream_name=f"invoke/{secrets.token_hex(16)}",
        remaining_ms=remaining,
        penstock=Delivery(mapping="", source="", shard="", lane=0, attempt=1, fence=0),
    )


def timeout_ms(function: Function) -> int:
    """Give how long a function may run."""
    return function.timeout_ms or _TIMEOUT_MS


def _raised(error: BaseException, request_id: str) -> bytes | None:
    lines = [
        f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n'
        for frame in user_frames(error)
    ]
    return encode_answer({
        "errorMessage": message_of(error), "errorType": type(error).__qualname__,
        "requestId": request_id, "stackTrace": lines,
    })  # fmt: skip


def _timed_out(function: Function, request_id: str) -> bytes | None:
    seconds = timeout_ms(function) / 1000
    return encode_answer({
        "errorMessage": f"{request_id} Task timed out after {seconds:.2f} seconds",
        "errorType": "Sandbox.Timedout",
    })  # fmt: skip
