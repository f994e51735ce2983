"""Says what a caller of the mapping API may do, and refuses the rest in AWS's words.

Rules: a scope has everything of those before it; a request without a caller came where nobody is
asked, on the control socket or on this machine's own address, and may do everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from penstock.errors import Refusal
from penstock.refusals import DENIED

READ: Final = "read"
OPERATE: Final = "operate"
ADMIN: Final = "admin"
SCOPES: Final = (READ, OPERATE, ADMIN)
# Where a request's scope holds who asks.
CALLER: Final = "penstock.caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, how that is known, and what they may do; `id` is a key's, never a secret."""

    name: str
    scope: str
    kind: str
    id: str | None = None
    region: str
    account: str

    @property
    def arn(self) -> str:
        """The caller's ARN, as AWS's sentences name a user."""
        return f"arn:aws:iam::{self.account}:user/{self.name}"

    def may(self, needed: str) -> bool:
        """Whether this caller's scope has another in it."""
        return SCOPES.index(self.scope) >= SCOPES.index(needed)


def caller_of(request: Request) -> Caller | None:
    """Give who asks, None where nobody is asked."""
    found = request.scope.get(CALLER)
    return found if isinstance(found, Caller) else None


def permit(request: Request, action: str, needed: str) -> None:
    """Refuse an action that the caller's scope does not have."""
    caller = caller_of(request)
    if caller is None or caller.may(needed):
        return
    name = f"lambda:{action}"
    raise Refusal(
        f"User: {caller.arn} is not authorized to perform: {name} on resource: "
        f"{_resource(request, caller)} because no identity-based policy allows the {name} action",
        type=DENIED,
    )


def _resource(request: Request, caller: Caller) -> str:
    told = request.path_params
    place = f"arn:aws:lambda:{caller.region}:{caller.account}"
    if "uuid" in told:
        return f"{place}:event-source-mapping:{told['uuid']}"
    if "name" in told:
        name = str(told["name"])
        return name if name.startswith("arn:") else f"{place}:function:{name}"
    return str(told.get("arn", "*"))
