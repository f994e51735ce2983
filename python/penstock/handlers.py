"""Understands handlers and functions: sync or async, and what Lambda knows of a function.

Rules: misuse is refused when the handler is registered, with its name in the message; a function
carries what a Lambda function has (name, timeout, memory, version, role).
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from penstock import durations
from penstock.durations import Duration
from penstock.errors import ConfigurationError

Handler = Callable[[Any, Any], Any]

THREADS: Final = "threads"
AIO: Final = "aio"
PROCESS: Final = "process"

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_VERSION: Final = re.compile(r"\$LATEST|[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A handler, and what Lambda knows of the function that it stands for."""

    handler: Handler
    name: str
    pool: str
    timeout_ms: int | None = None
    memory_size: int = 128
    version: str = "$LATEST"
    role_arn: str | None = None

    def arn(self, region: str, account: str) -> str:
        """Give the function's ARN, qualified if its version is a number."""
        suffix = "" if self.version == "$LATEST" else f":{self.version}"
        return f"arn:aws:lambda:{region}:{account}:function:{self.name}{suffix}"


def describe_handler(handler: object) -> str:
    """Name a handler for messages."""
    named = _unwrapped(handler)
    module = getattr(named, "__module__", None)
    name = getattr(named, "__qualname__", None) or type(named).__qualname__
    return f"{module}.{name}" if module else name


def make_function(
    handler: object,
    *,
    name: str | None = None,
    timeout: Duration | None = None,
    memory_size: int = 128,
    version: str | int = "$LATEST",
    role_arn: str | None = None,
    where: str | None = None,
) -> Function:
    """Check a handler and its settings."""
    pool = check_handler(handler, where=where)
    assert callable(handler)
    if name is None:
        name = default_name(handler)
    _check(
        isinstance(name, str) and _NAME.fullmatch(name) is not None,
        where,
        "name",
        f"{name!r} is not a function name",
        "1 to 64 letters, digits, - and _",
    )
    _check(
        isinstance(memory_size, int)
        and not isinstance(memory_size, bool)
        and 128 <= memory_size <= 10_240,
        where,
        "memory_size",
        f"{memory_size!r} is not a memory size",
        "128 to 10240, in MB",
    )
    version = str(version)
    _check(
        _VERSION.fullmatch(version) is not None,
        where,
        "version",
        f"{version!r} is not a version",
        "$LATEST or a number",
    )
    _check(
        role_arn is None or (isinstance(role_arn, str) and role_arn.startswith("arn:")),
        where,
        "role_arn",
        f"{role_arn!r} is not an ARN",
        "arn:aws:iam::ACCOUNT:role/NAME",
    )
    timeout_ms = None
    if timeout is not None:
        timeout_ms = durations.milliseconds(timeout, option="timeout", where=where)
        _check(
            1 <= timeout_ms <= 900_000,
            where,
            "timeout",
            f"{timeout!r} is out of range",
            "up to 15 minutes, as on Lambda",
        )
    return Function(
        handler=handler, name=name, pool=pool, timeout_ms=timeout_ms, memory_size=memory_size,
        version=version, role_arn=role_arn,
    )  # fmt: skip


def default_name(handler: object) -> str:
    """Give the name of a function that was not given one."""
    named = _unwrapped(handler)
    name = getattr(named, "__name__", None) or type(named).__name__
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]


def check_handler(handler: object, *, where: str | None = None) -> str:
    """Refuse what cannot handle an event; give the pool of workers that runs the rest."""
    if isinstance(handler, type) or not callable(handler):
        shown = f"the class {handler.__qualname__}" if isinstance(handler, type) else repr(handler)
        raise _unusable(f"{shown} is not a function", where, "write def handler(event, context)")
    label = describe_handler(handler)
    call = _called(handler)
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise _unusable(
            f"{label} is a generator: calling it would run none of its body",
            where,
            "return instead of yield",
        )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        signature = None
    if signature is not None:
        try:
            signature.bind(object(), object())
        except TypeError:
            raise _unusable(
                f"{label}{signature} cannot be called with (event, context)",
                where,
                f"write def {default_name(handler)}(event, context)",
            ) from None
    return AIO if inspect.iscoroutinefunction(call) else THREADS


def _unwrapped(handler: object) -> object:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler


def _called(handler: object) -> Any:
    inner = _unwrapped(handler)
    if inspect.isroutine(inner):
        return inner
    return type(inner).__call__


def _unusable(message: str, where: str | None, hint: str) -> ConfigurationError:
    return ConfigurationError(message, code="PS108", path="function", where=where, hint=hint)


def _check(holds: bool, where: str | None, path: str, message: str, hint: str) -> None:
    if not holds:
        raise ConfigurationError(
            f"{path} {message}", code="PS102", path=path, where=where, hint=hint
        )
