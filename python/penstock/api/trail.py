"""Writes what callers of the mapping API change, and what they are denied, into the audit trail.

Rules: a change is recorded around its making, on a thread that may wait for the disk; who is known
and denied is recorded as well, who is not known is only logged, since nobody unknown may fill a
disk; payloads and secrets are not recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from penstock.api.scopes import caller_of
from penstock.audit import Asker, Audit
from penstock.errors import PenstockError, Refusal

log = logging.getLogger("penstock.api")

AskerOf = Callable[[Request], Asker]
# Whoever asks at an address of this machine where nobody is asked who they are.
ANYBODY: Final = "anybody"
UNKNOWN: Final = "unknown"
_ACTION_CHARS_MAX: Final = 256


def network_asker(request: Request) -> Asker:
    """Give who asks over a network: the name of a key or token, never its secret."""
    caller = caller_of(request)
    address = "" if request.client is None else request.client.host
    if caller is None:
        return Asker(actor=ANYBODY, address=address)
    name = f"{caller.kind}:{caller.name}" + (f"/{caller.id}" if caller.id else "")
    return Asker(actor=name, address=address)


class Trail:
    """The audit trail of those who ask over one door."""

    def __init__(self, audit: Audit | None = None, asker_of: AskerOf = network_asker) -> None:
        self._audit = audit or Audit(None)
        self._asker_of = asker_of

    async def change(
        self,
        request: Request,
        action: str,
        make: Callable[[], Any],
        *,
        mapping: str | None = None,
        asked: Any = None,
        before: Callable[[], Any] = lambda: None,
    ) -> Any:
        """Make a change and record it; gives what was made."""
        asker = self._asker_of(request)

        def recorded() -> Any:
            was = before()
            with self._audit.changing(action, asker, mapping=mapping, asked=asked) as change:
                change.before = was
                change.after = make()
            return change.after

        return await run_in_threadpool(recorded)

    async def called(self, request: Request, function: str, kind: str) -> None:
        """Record that a function is called, without what it is called with."""
        asker, after = self._asker_of(request), {"function": function, "type": kind}
        await run_in_threadpool(self._audit.record, "function.invoke", asker, after=after)

    async def denied(self, request: Request, action: str, error: Refusal) -> None:
        """Record what a known caller may not do."""
        asker, mapping = self._asker_of(request), request.path_params.get("uuid")
        try:
            await run_in_threadpool(self._audit.refused, action, asker, error, mapping=mapping)
        except PenstockError as unwritten:
            # The refusal is what people must see, not that it could not be recorded.
            log.error("%s", unwritten.message)


def log_unknown(request: Request, error: Refusal) -> None:
    """Log that somebody was refused because nobody knows who they are."""
    address = "" if request.client is None else request.client.host
    action = f"{request.method} {request.url.path}"[:_ACTION_CHARS_MAX]
    Audit(None).refused(action, Asker(actor=UNKNOWN, address=address), error)
