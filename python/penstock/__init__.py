"""Runs Python handlers on streams and queues by the rules of Lambda's event source mappings.

Public names are resolved when they are first used, so that importing a part of the package (a child
process needs only the context) does not load the extension.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from penstock._bridge import version
    from penstock.app import App
    from penstock.context import Context
    from penstock.engine import Engine
    from penstock.errors import (
        CheckpointError,
        ConfigurationError,
        DestinationError,
        FencedError,
        ForkedProcess,
        HandlerCrash,
        HandlerError,
        HandlerTimeout,
        InternalError,
        MappingConflict,
        MappingNotFound,
        PenstockError,
        RuntimeClosed,
        SourceError,
    )
    from penstock.events import (
        BatchResponse,
        DynamoDBEvent,
        DynamoDBRecord,
        KinesisEvent,
        KinesisRecord,
    )
    from penstock.mappings.model import EventSourceMapping, Mapping
    from penstock.report import Report
    from penstock.workers.children import Children

__all__ = [
    "App",
    "BatchResponse",
    "CheckpointError",
    "Children",
    "ConfigurationError",
    "Context",
    "DestinationError",
    "DynamoDBEvent",
    "DynamoDBRecord",
    "Engine",
    "EventSourceMapping",
    "FencedError",
    "ForkedProcess",
    "HandlerCrash",
    "HandlerError",
    "HandlerTimeout",
    "InternalError",
    "KinesisEvent",
    "KinesisRecord",
    "Mapping",
    "MappingConflict",
    "MappingNotFound",
    "PenstockError",
    "Report",
    "RuntimeClosed",
    "SourceError",
    "version",
]

_HOMES: Final = {
    "App": "penstock.app",
    "Children": "penstock.workers.children",
    "Context": "penstock.context",
    "Engine": "penstock.engine",
    "EventSourceMapping": "penstock.mappings.model",
    "Mapping": "penstock.mappings.model",
    "Report": "penstock.report",
    "BatchResponse": "penstock.events",
    "DynamoDBEvent": "penstock.events",
    "DynamoDBRecord": "penstock.events",
    "KinesisEvent": "penstock.events",
    "KinesisRecord": "penstock.events",
    "version": "penstock._bridge",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "penstock.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
