"""Holds mappings: as the user writes them, and as the API makes and keeps them.

The names that other parts of the package use are resolved when they are first used, so that
importing the one does not load the other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from penstock.mappings.service import MappingService

__all__ = ["MappingService"]

_HOMES: Final = {"MappingService": "penstock.mappings.service"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'penstock.mappings' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
