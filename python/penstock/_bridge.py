"""Imports the Rust extension, and is the only one that does.

Rules: an extension of another version is refused here, in words, instead of failing later; a debug
build warns once.
"""

from __future__ import annotations

import importlib.metadata
import warnings

from penstock import _penstock
from penstock._penstock import (
    Inbox,
    Invocation,
    Outbox,
    Runtime,
    config_fields,
    debug_build,
    error_codes,
    features,
    matches,
    normalize,
    version,
)

__all__ = [
    "Inbox",
    "Invocation",
    "Outbox",
    "Runtime",
    "config_fields",
    "debug_build",
    "error_codes",
    "features",
    "matches",
    "normalize",
    "version",
]


def check_version(extension: str, package: str) -> None:
    """Refuse an extension that was built for another version of the package."""
    if extension != package:
        raise ImportError(
            f"penstock {package} found its extension of version {extension} in "
            f"{_penstock.__file__}; install penstock again so that both come from one wheel"
        )


def package_version() -> str:
    """Give the version of the installed package."""
    try:
        return importlib.metadata.version("penstock")
    except importlib.metadata.PackageNotFoundError:
        return version()  # a checkout on PYTHONPATH: there is only the extension to ask


check_version(version(), package_version())
if debug_build():
    warnings.warn(
        "this penstock is a debug build: fine to develop with, slow to run",
        RuntimeWarning,
        stacklevel=1,
    )
