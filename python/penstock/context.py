"""Makes the context object that a handler receives; standard library only.

Rules: every attribute and method of Lambda's own context is there, with its type; the remaining
time is the truth by the runtime's clock; what only penstock knows stands under `context.penstock`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple


class Delivery(NamedTuple):
    """What penstock knows of an invocation beyond what Lambda tells.

    One is made for every invocation: a named tuple costs half of a frozen dataclass.
    """

    mapping: str
    source: str
    shard: str
    lane: int
    attempt: int
    fence: int


class CognitoIdentity:
    """Lambda's identity of a mobile caller; a stream has none, so both are None."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self) -> None:
        self.cognito_identity_id: str | None = None
        self.cognito_identity_pool_id: str | None = None

    def __repr__(self) -> str:
        return "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What an application says of itself; what it does not say is None."""

    installation_id: Any = None
    app_title: Any = None
    app_version_name: Any = None
    app_version_code: Any = None
    app_package_name: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientContext:
    """What a caller of Invoke sends beside the event; what it does not send is None."""

    custom: Any = None
    env: Any = None
    client: Client | None = None


def client_context(told: dict[str, Any]) -> ClientContext:
    """Give the ClientContext of an Invoke request, as Lambda's runtime makes it of its JSON."""
    client = told.get("client")
    known = Client.__slots__
    return ClientContext(
        custom=told.get("custom"),
        env=told.get("env"),
        client=Client(**{name: client.get(name) for name in known}) if client else None,
    )


class Context:
    """Lambda's context object."""

    __slots__ = (
        "_remaining",
        "aws_request_id",
        "client_context",
        "function_name",
        "function_version",
        "identity",
        "invoked_function_arn",
        "log_group_name",
        "log_stream_name",
        "memory_limit_in_mb",
        "penstock",
        "tenant_id",
    )

    def __init__(
        self,
        *,
        aws_request_id: str,
        function_name: str,
        function_version: str,
        invoked_function_arn: str,
        memory_size: int,
        log_stream_name: str,
        remaining_ms: Callable[[], int],
        penstock: Delivery,
    ) -> None:
        self.aws_request_id = aws_request_id
        self.function_name = function_name
        self.function_version = function_version
        self.invoked_function_arn = invoked_function_arn
        self.memory_limit_in_mb = str(memory_size)  # text, as in Lambda's own
        self.log_group_name = f"/aws/lambda/{function_name}"
        self.log_stream_name = log_stream_name
        self.identity = CognitoIdentity()
        self.client_context: ClientContext | None = None
        self.tenant_id: str | None = None
        self.penstock = penstock
        self._remaining = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        """Give the time until the function's timeout, never less than zero."""
        return max(0, self._remaining())

    def log(self, message: object) -> None:
        """Write to standard output, as Lambda's does."""
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        return (
            f"LambdaContext([aws_request_id={self.aws_request_id},"
            f"log_group_name={self.log_group_name},log_stream_name={self.log_stream_name},"
            f"function_name={self.function_name},memory_limit_in_mb={self.memory_limit_in_mb},"
            f"function_version={self.function_version},"
            f"invoked_function_arn={self.invoked_function_arn},"
            f"client_context={self.client_context},identity={self.identity},"
            f"tenant_id={self.tenant_id})"
        )


current: ContextVar[Context | None] = ContextVar("penstock_context", default=None)


def finish(context: Context) -> None:
    """Let go of the invocation, so that a kept context keeps no records alive."""
    left = context.get_remaining_time_in_millis()
    context._remaining = lambda: left  # noqa: SLF001
