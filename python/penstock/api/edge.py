"""Stands before everything that is served on an address: who may ask, and how long it may take.

Rules: the Host is judged first, then who asks, before it is said whether there is such a route; of
the body no more is read than a signature is checked with; credentials are never logged; a body that
does not arrive in time is refused.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.api.codec import refusal
from penstock.api.gate import Gate
from penstock.api.guard import ALLOWED, HOSTS, check_request
from penstock.api.routes import most_bytes
from penstock.api.scopes import CALLER
from penstock.api.trail import log_unknown
from penstock.errors import PenstockError, Refusal
from penstock.refusals import FAILED, NO_CREDENTIALS, THROTTLED, TOO_LARGE, UNKNOWN_CALLER

log = logging.getLogger("penstock.api")

BODY_SECONDS: Final = 30.0
# What is held at once of bodies whose signatures are not checked yet.
UNCHECKED_BYTES_MAX: Final = 64 * 1024 * 1024


class Edge:
    """An application behind the checks of a network."""

    def __init__(
        self,
        application: ASGIApp,
        *,
        gate: Gate,
        hosts: frozenset[str] = frozenset(),
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._application = application
        self._gate = gate
        self._hosts = HOSTS | hosts
        self._body_seconds = body_seconds
        self._unchecked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[ALLOWED] = self._hosts
        arriving = _Arriving(self._in_time(receive))
        request = Request(scope)
        refused = check_request(request)
        if refused is None and not self._gate.is_open:
            refused = await self._identify(request, arriving)
        if refused is not None:
            refused.headers["Connection"] = "close"
            await refused(scope, receive, send)
            return
        await self._application(scope, arriving.receive, send)

    async def _identify(self, request: Request, arriving: _Arriving) -> Response | None:
        async def body() -> bytes:
            return await self._body(request, arriving)

        try:
            request.scope[CALLER] = await self._gate.identify(request, body)
        except Refusal as error:
            client = "somebody" if request.client is None else request.client.host
            if error.type != THROTTLED:
                log.warning("%s asked without valid credentials: %s", client, error.type)
                log_unknown(request, error)
            refused = refusal(error)
            signed = request.headers.get("authorization", "").lower().startswith("aws4-")
            if error.type in {NO_CREDENTIALS, UNKNOWN_CALLER} and not signed:
                refused.status_code = 401
                refused.headers["WWW-Authenticate"] = "Bearer"
            if error.type == THROTTLED:
                refused.headers["Retry-After"] = "1"
            return refused
        except PenstockError as error:
            log.error("who asks cannot be known: %s", error.message)
            return refusal(Refusal("An internal error has occurred.", type=FAILED))
        return None

    async def _body(self, request: Request, arriving: _Arriving) -> bytes:
        """Read the whole body, to be read again by whoever answers."""
        most, held = most_bytes(request), 0
        try:
            while not arriving.whole:
                size = await arriving.more()
                held += size
                self._unchecked += size
                if held > most:
                    raise Refusal(
                        f"Request must be smaller than {most} bytes for this operation",
                        type=TOO_LARGE,
                    )
                if self._unchecked > UNCHECKED_BYTES_MAX:
                    raise Refusal("Rate Exceeded.", type=THROTTLED)
        finally:
            self._unchecked -= held
        return arriving.body()

    def _in_time(self, receive: Receive) -> Receive:
        """Give what arrives of the body, as long as all of it is there in time."""
        deadline = asyncio.get_running_loop().time() + self._body_seconds
        whole = False

        async def bounded() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Refusal(
                    f"The body did not arrive within {self._body_seconds:g} seconds.",
                    type="RequestTimeoutException",
                ) from None
            whole = not message.get("more_body", False)
            return message

        return bounded


class _Arriving:
    """The messages of a request, some of them read ahead."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead: list[Message] = []
        self.whole = False

    async def more(self) -> int:
        """Read one message ahead; gives how many bytes of the body it has."""
        message = await self._receive()
        self._ahead.append(message)
        self.whole = not message.get("more_body", False)
        return len(message.get("body", b""))

    def body(self) -> bytes:
        """Give the body that was read ahead."""
        return b"".join(each.get("body", b"") for each in self._ahead)

    async def receive(self) -> Message:
        """Give the next message to whoever answers."""
        return self._ahead.pop(0) if self._ahead else await self._receive()
