"""Describes the children of a pool of processes, as users choose them and as a child is told.

Rules: a child gets the variables of the environment that were allowed, and never penstock's own;
what cannot work in a child is refused before one is started.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock import durations
from penstock.durations import Duration
from penstock.errors import ConfigurationError
from penstock.workers.entry import Entry, check_found, entry_of

# What a program needs to start at all, and what AWS's libraries are configured by.
# fmt: off
BASE_NAMES: Final = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE",
    "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
))
# fmt: on
BASE_PREFIXES: Final = ("LC_", "PYTHON", "AWS_", "_X_AMZN_")
OWN_PREFIX: Final = "PENSTOCK_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """How the children of `pool="process"` are kept.

    `environment` names the variables that a child gets besides those that every program needs;
    None is all but penstock's own. `init` is a function of a module, called once in each child
    before its first invocation. A child is replaced, between two batches, after
    `maximum_invocations`, or when it holds more than `maximum_memory` MB. `start_timeout` is how
    long importing and `init` may take.
    """

    environment: Iterable[str] | None = None
    init: Callable[[], Any] | None = None
    maximum_invocations: int | None = None
    maximum_memory: int | None = None
    start_timeout: Duration = 10

    def __post_init__(self) -> None:
        if isinstance(self.environment, str):
            raise _wrong("environment", self.environment, "a list of names of variables")
        for name in ("maximum_invocations", "maximum_memory"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or value < 1
            ):
                raise _wrong(name, value, "a whole number of at least 1")
        if self.init is not None and not callable(self.init):
            raise _wrong("init", self.init, "a function of a module")
        durations.seconds(self.start_timeout, option="start_timeout")

    @property
    def start_seconds(self) -> float:
        """How long a start may take."""
        return durations.seconds(self.start_timeout, option="start_timeout")

    def init_entry(self) -> Entry | None:
        """Give where a child finds `init`."""
        if self.init is None:
            return None
        entry = entry_of(self.init)
        check_found(self.init, entry)
        return entry

    def variables(self, environment: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the environment of a child."""
        given = dict(os.environ if environment is None else environment)
        own = {name for name in given if name.startswith(OWN_PREFIX)}
        allowed = set(given)
        if self.environment is not None:
            base = {name for name in given if name.startswith(BASE_PREFIXES)}
            allowed = base.union(BASE_NAMES, self.environment)
        return {name: given[name] for name in given if name in allowed - own}


def _wrong(option: str, value: object, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        f"{option} must be {wanted}, not {value!r}", code="PS102", path=f"children.{option}"
    )
