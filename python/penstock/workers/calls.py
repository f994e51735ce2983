"""Calls a plain handler and says how the call ended, as data.

Rules: a call never raises, whatever the handler does; an answer that came after the function's
timeout does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.context import Context, current, finish
from penstock.workers import Bench
from penstock.workers.answers import UnusableAnswer, encode_answer
from penstock.workers.failures import message_of

if TYPE_CHECKING:
    from penstock._bridge import Invocation

# A word for how it ended, the answer as JSON, and the exception's type and text.
Ending = tuple[str, bytes | None, str | None, str | None]


def call(bench: Bench, invocation: Invocation, context: Context) -> Ending:
    """Call a plain handler; never raises."""
    function = bench.target(invocation).function
    token = current.set(context)
    try:
        if bench.environment is not None:
            bench.environment.enter(context)
        answer = encode_answer(function.handler(invocation.event(), context))
    except UnusableAnswer as error:
        ending = unusable(bench, context, error)
    except BaseException as error:  # noqa: BLE001 -- sys.exit in a handler fails its batch only
        ending = raised(bench, context, error)
    else:
        ending = ("returned", answer, None, None)
    finally:
        current.reset(token)
    late = invocation.remaining_ms <= 0
    finish(context)
    return timed_out(bench, context) if late else ending


def raised(bench: Bench, context: Context, error: BaseException) -> Ending:
    """Record an exception."""
    bench.failures.raised(context, error)
    return ("raised", None, type(error).__qualname__, message_of(error))


def unusable(bench: Bench, context: Context, error: UnusableAnswer) -> Ending:
    """Record an answer that is none."""
    message = message_of(error)
    bench.failures.told(context, "UnusableAnswer", message)
    return ("raised", None, "UnusableAnswer", message)


def timed_out(bench: Bench, context: Context) -> Ending:
    """Record that the function's timeout had passed when the handler ended."""
    bench.failures.told(context, "Timeout", "it ran longer than the function's timeout")
    return ("timed_out", None, "Timeout", None)
