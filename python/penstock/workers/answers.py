"""Turns what a handler returned into the JSON text that the engine judges.

Rules: what Lambda's own runtime can send is sent, decimals included; anything else (bytes, NaN, a
generator, a cycle, more than 6 MB) is a function error, never a crash and never a success.
"""

from __future__ import annotations

import inspect
import json
from decimal import Decimal
from typing import Any, Final

ANSWER_BYTES_MAX: Final = 6 * 1024 * 1024


class UnusableAnswer(Exception):
    """A handler's answer that cannot be sent; the text says why."""


def encode_answer(answer: Any) -> bytes | None:
    """Give the answer as JSON, None for null; raise UnusableAnswer if it is none."""
    if answer is None:
        return None
    if inspect.iscoroutine(answer):
        answer.close()
        raise UnusableAnswer("the handler returned a coroutine that nothing awaited")
    try:
        text = json.dumps(answer, default=_default, allow_nan=False, separators=(",", ":"))
        encoded = text.encode("utf-8")
    except UnusableAnswer:
        raise
    except RecursionError:
        raise UnusableAnswer("the answer is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 -- user objects may raise anything on the way
        raise UnusableAnswer(f"the answer is not JSON: {error}") from None
    if len(encoded) > ANSWER_BYTES_MAX:
        raise UnusableAnswer(f"the answer has {len(encoded):,} bytes, more than 6 MB")
    return encoded


def _default(value: object) -> object:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise UnusableAnswer(f"the answer is not JSON: {value} is not a number")
        return float(value)
    raise UnusableAnswer(f"the answer is not JSON: it holds a {type(value).__qualname__}")
