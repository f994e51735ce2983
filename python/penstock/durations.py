"""Reads durations as people write them: 30, "30s", "5m", "1h", "250ms".

Rules: a bare number is seconds; a unit is one of ms, s, m, h, d; nothing else is guessed.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final

from penstock.errors import ConfigurationError

_EXAMPLES: Final = 'a duration such as 30, "30s", "5m" or "1h"'

Duration = int | float | str | timedelta

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT: Final = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*")


def seconds(value: Duration, *, option: str, where: str | None = None) -> float:
    """Give `value` in seconds; `option` is what an error calls it."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        match = _TEXT.fullmatch(value)
        if match is not None:
            return float(match[1]) * _UNITS[match[2] or "s"]
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ConfigurationError(
        f"{option} {value!r} is not a duration",
        code="PS112",
        path=option,
        where=where,
        hint=f"write {_EXAMPLES}",
    )


def whole_seconds(value: Duration, *, option: str, where: str | None = None) -> int:
    """Give `value` in seconds and refuse a fraction, as Lambda's fields are whole seconds."""
    exact = seconds(value, option=option, where=where)
    if exact != int(exact):
        raise ConfigurationError(
            f"{option} {value!r} is not a whole number of seconds",
            code="PS112",
            path=option,
            where=where,
            hint="Lambda counts this in whole seconds",
        )
    return int(exact)


def milliseconds(value: Duration, *, option: str, where: str | None = None) -> int:
    """Give `value` in milliseconds, rounded."""
    return round(seconds(value, option=option, where=where) * 1000)
