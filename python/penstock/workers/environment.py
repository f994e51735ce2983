"""Gives handlers the environment variables that Lambda sets.

Rules: every name is added before any other thread runs and only replaced afterwards, since adding
moves the table under the feet of C code that reads it; what was there before is put back at the
end. With several workers the trace id is that of the invocation that started last.

The trace id is another for every invocation, and glibc keeps every value that a variable was ever
set to, a hundred bytes each, and looks through all of them at the next: so the text stands in
memory of ours and is written over where it stands, as putenv(3) allows.
"""

from __future__ import annotations

import ctypes
import os
import random
import time
from collections.abc import Iterable
from typing import Final

from penstock.context import Context
from penstock.handlers import Function

TRACE: Final = "_X_AMZN_TRACE_ID"

# Ids need to differ and nothing else; of our own, so that a handler's seeds do not repeat them.
_ids: Final = random.Random()  # noqa: S311 -- no secret depends on it


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
        _trace.install()

    def enter(self, context: Context) -> None:
        """Set what changes from one invocation to the next."""
        _trace.write(new_trace_id())
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
    root = f"1-{int(time.time()):08x}-{_ids.getrandbits(96):024x}"
    return f"Root={root};Parent={_ids.getrandbits(64):016x};Sampled=0"


class _TraceVariable:
    """The variable of the trace id, whose values are all equally long.

    Its memory is the process's environment from the first time on, and is never given back.
    """

    def __init__(self) -> None:
        head, text = f"{TRACE}=".encode(), new_trace_id().encode()
        self._name = TRACE.encode()
        self._entry = ctypes.create_string_buffer(head + text)
        self._text = (ctypes.c_char * len(text)).from_buffer(self._entry, len(head))

    def install(self) -> None:
        """Make our memory the process's entry; Python's own has been set."""
        self._text.raw = os.environ[TRACE].encode()
        # Unlike `CDLL` it does not let go of the interpreter, which nobody needs to have now.
        ctypes.PyDLL(None).putenv(self._entry)

    def write(self, trace_id: str) -> None:
        """Set another trace id, for C code and child processes, and for Python."""
        self._text.raw = text = trace_id.encode()
        shown: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
        if shown is None:
            os.environ[TRACE] = trace_id
        else:
            shown[self._name] = text


_trace: Final = _TraceVariable()
