"""Finds out who asks: by a token, or by a signature made with a key of penstock's own.

Rules: who cannot be known is refused, and counted against the address that asked; a body is read
only for a key that exists, with a bound on all that is held at once; no secret is logged.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request

from penstock.api.attempts import Attempts
from penstock.api.keys import TOKEN, Key, KeyRing
from penstock.api.scopes import ADMIN, Caller
from penstock.errors import Refusal
from penstock.refusals import EXPIRED, NO_CREDENTIALS, THROTTLED, TOO_LARGE, UNKNOWN_CALLER

# The name of whoever has the secret of --api-token.
OWNER: Final = "api-token"
_SIGNED: Final = "aws4-hmac-sha256"
_INVALID: Final = "The security token included in the request is invalid."
# Refused for a body that was not read to its end, which says nothing of who asks.
_NOT_HEARD_OUT: Final = frozenset({"RequestTimeoutException", TOO_LARGE, THROTTLED})

Body = Callable[[], Awaitable[bytes]]


class Gate:
    """What callers are known by; with neither token nor keys, nobody is asked."""

    def __init__(
        self,
        *,
        region: str,
        account: str,
        token: str | None = None,
        keys: KeyRing | None = None,
        attempts: Attempts | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._region = region
        self._account = account
        self._token = None if token is None else token.encode()
        self._keys = keys
        self._attempts = attempts or Attempts()
        self._now = now

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked."""
        return self._token is None and self._keys is None

    async def identify(self, request: Request, body: Body) -> Caller:
        """Give who asks; refuse who cannot be known."""
        address = "" if request.client is None else request.client.host
        if self._attempts.wait(address) > 0:
            raise Refusal("Rate Exceeded.", type=THROTTLED)
        try:
            return await self._known(request, body)
        except Refusal as error:
            if error.type not in _NOT_HEARD_OUT:
                self._attempts.failed(address)
            raise

    async def _known(self, request: Request, body: Body) -> Caller:
        told = request.headers.getlist("authorization")
        if not told:
            raise Refusal("Missing Authentication Token", type=NO_CREDENTIALS, hint=self._hint())
        if len(told) > 1:
            raise self._unknown()
        kind, _, rest = told[0].partition(" ")
        if kind.lower() == "bearer":
            return self._of_token(rest.strip().encode("utf-8", "replace"))
        if kind.lower() == _SIGNED and self._keys is not None:
            return await self._of_signature(request, self._keys, body)
        raise self._unknown()

    def _of_token(self, token: bytes) -> Caller:
        if self._token is not None and hmac.compare_digest(token, self._token):
            return Caller(
                name=OWNER, scope=ADMIN, kind=TOKEN, region=self._region, account=self._account
            )
        found = None if self._keys is None else self._keys.of_token(token)
        if found is None:
            raise self._unknown()
        return self._caller(found)

    async def _of_signature(self, request: Request, keys: KeyRing, body: Body) -> Caller:
        # Here, since botocore takes a while and not everybody asks for signatures.
        from penstock.api.signatures import check_signature, read_signature

        signed = read_signature(request, region=self._region, now=self._now())
        key = keys.find(signed.key_id)
        if key is None:
            raise Refusal(_INVALID, type=UNKNOWN_CALLER)
        check_signature(request, signed, key.secret, await body())
        return self._caller(key)

    def _caller(self, key: Key) -> Caller:
        # Said only to who has the secret: others learn nothing of a key.
        if key.is_expired(self._now().timestamp()):
            raise Refusal("The security token included in the request is expired", type=EXPIRED)
        return Caller(
            name=key.name,
            scope=key.scope,
            kind=key.kind,
            id=key.id,
            region=self._region,
            account=self._account,
        )

    def _unknown(self) -> Refusal:
        return Refusal(_INVALID, type=UNKNOWN_CALLER, hint=self._hint())

    def _hint(self) -> str:
        if self._keys is None:
            return "send the secret of --api-token as Authorization: Bearer"
        return "sign with a key of penstock keys create, or send a token as Authorization: Bearer"
