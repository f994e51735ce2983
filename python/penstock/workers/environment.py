"""Gives handlers the environment variables that Lambda sets.

Rules: every name is added before any other thread runs and only replaced afterwards, since adding
moves the table under the feet of C code that reads it; what was there before is put back at the
end. With several workers the trace id is that of the invocation that started last.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from typing import Final

from penstock.context import Context
from penstock.handlers import Function

TRACE: Final = "_X_AMZN_TRACE_ID"


class LambdaEnvironment:
    """The variables of Lambda, while an engine runs."""

    def __init__(self, functions: Iterable[Function], log_stream: str) -> None:
        self._functions = list(functions)
        self._several = len({function.name for function in self._functions}) > 1
        self._log_stream = log_stream
        self._before: dict[str, str | None] = {}

    def install(self) -> None:
        """Set every variable."""
        if not self._functions:
            return
        wanted = self._variables(self._functions[0]) | {TRACE: new_trace_id()}
        wanted["AWS_LAMBDA_LOG_STREAM_NAME"] = self._log_stream
        wanted["AWS_LAMBDA_INITIALIZATION_TYPE"] = "on-demand"
        self._before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)

    def enter(self, context: Context) -> None:
        """Set what changes from one invocation to the next."""
        os.environ[TRACE] = new_trace_id()
        if self._several:
            os.environ["AWS_LAMBDA_FUNCTION_NAME"] = context.function_name
            os.environ["AWS_LAMBDA_FUNCTION_VERSION"] = context.function_version
            os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = context.memory_limit_in_mb
            os.environ["AWS_LAMBDA_LOG_GROUP_NAME"] = context.log_group_name

    def remove(self) -> None:
        """Put back what was there before."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before = {}

    def _variables(self, function: Function) -> dict[str, str]:
        return {
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        }


def new_trace_id() -> str:
    """Make a trace header as X-Ray writes it; nothing is sampled, since nothing collects it."""
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=0"
