"""Runs handlers: the loop that every kind of worker shares, and what the loops have in common.

Rules: a call never raises; every invocation that was taken is completed exactly once; a worker
leaves when the runtime is closed or the main thread is gone, so that no program hangs at its end.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.context import Context, Delivery
from penstock.workers.stats import Durations

if TYPE_CHECKING:
    from penstock._bridge import Invocation, Runtime
    from penstock.handlers import Function
    from penstock.workers.environment import LambdaEnvironment
    from penstock.workers.failures import FailureLog

WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a worker must know of a mapping to call its handler."""

    function: Function
    function_arn: str
    source: str


@dataclass(slots=True, kw_only=True)
class Running:
    """One invocation that a worker is running at this moment."""

    target: Target
    shard: str
    since: float
    thread: int | None = None
    task: Any = None
    child: int | None = None


@dataclass(slots=True, kw_only=True)
class Bench:
    """What a call of a handler needs, in the process that makes it."""

    # By mapping and function: what was cut before a mapping got another one goes to the old one.
    targets: dict[tuple[str, str], Target]
    failures: FailureLog
    log_stream: str
    manual_clock: bool = False
    environment: LambdaEnvironment | None = None

    def target(self, invocation: Invocation) -> Target:
        """Give what an invocation calls."""
        return self.targets[invocation.mapping, invocation.handler]

    def context(self, invocation: Invocation, target: Target) -> Context:
        """Make the context of one invocation."""
        if self.manual_clock:
            remaining = _remaining_by_runtime(invocation)
        else:
            remaining = _remaining_by_clock(invocation.remaining_ms)
        function = target.function
        return Context(
            aws_request_id=invocation.request_id,
            function_name=function.name,
            function_version=function.version,
            invoked_function_arn=target.function_arn,
            memory_size=function.memory_size,
            log_stream_name=self.log_stream,
            remaining_ms=remaining,
            penstock=Delivery(
                mapping=invocation.mapping,
                source=target.source,
                shard=invocation.shard,
                lane=invocation.lane,
                attempt=invocation.attempt,
                fence=invocation.fence,
            ),
        )


@dataclass(slots=True, kw_only=True)
class Shop(Bench):
    """What all workers of one engine share."""

    runtime: Runtime
    durations: Durations = field(default_factory=Durations)
    running: dict[tuple[str, int], Running] = field(default_factory=dict)


def main_thread_gone() -> bool:
    """Whether the program's main thread has ended, so that everybody else should."""
    return not threading.main_thread().is_alive()


def _remaining_by_clock(remaining_ms: int) -> Any:
    deadline = time.monotonic() + remaining_ms / 1000
    return lambda: int((deadline - time.monotonic()) * 1000)


def _remaining_by_runtime(invocation: Invocation) -> Any:
    return lambda: invocation.remaining_ms
