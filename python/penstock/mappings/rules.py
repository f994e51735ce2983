"""Checks what the model of Lambda's API does not say: rules between members, and by source.

Rules: AWS's order (what the kind of source cannot have or must have, then its own values), AWS's
sentences where they are known; values are checked on the merged result of an update. Whether
functions and sources exist is the service's to ask.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from penstock.mappings.kinds import BROKERS, QUEUES, REQUIRED, STREAMS, SUPPORT, Kind, is_neutral
from penstock.refusals import invalid

# These are named in the quoted form, all others in the plain one.
_QUOTED: Final = frozenset({
    "Topics", "Queues", "SelfManagedEventSource", "SourceAccessConfigurations", "StartingPosition",
    "StartingPositionTimestamp",
})  # fmt: skip
_SMALL_BATCH: Final = 10
_LONG_TIMEOUT_MS: Final = 840_000
_POLLERS_MAX: Final = 10_000


def check_members(request: Mapping[str, Any], kind: Kind, *, creating: bool) -> None:
    """Refuse members that the kind of source cannot have, and missing ones that it must have."""
    wrong = [
        name
        for name, kinds in SUPPORT.items()
        if name in request and kind not in kinds and not is_neutral(request[name])
    ]
    missing = [
        name for name in REQUIRED.get(kind, ()) if creating and is_neutral(request.get(name))
    ]
    if kind == "docdb" and (wrong or missing):
        names = ", ".join(_camel(name) for name in [*missing, *wrong])
        raise invalid(f"Invalid parameters: {names}")
    for name in wrong:
        shown = f"'{_camel(name)}'" if name in _QUOTED else name
        raise invalid(f"Unsupported {shown} parameter for given event source mapping type.")
    for name in missing:
        raise invalid(f"Required '{_camel(name)}' parameter is missing.")
    _check_destination(request.get("DestinationConfig"), kind)
    _check_metrics(request.get("MetricsConfig"), kind)
    if kind in QUEUES and (request.get("ProvisionedPollerConfig") or {}).get("PollerGroupName"):
        raise invalid("Unsupported PollerGroupName parameter for given event source mapping type.")


def check_values(config: Mapping[str, Any], kind: Kind, *, creating: bool) -> None:
    """Refuse values that the kind of source does not allow together."""
    if kind in QUEUES:
        _check_queue(config, kind)
    if kind in STREAMS | BROKERS | {"docdb"}:
        _check_start(config, kind, creating=creating)
        age = config.get("MaximumRecordAgeInSeconds", -1)
        if 0 <= age < 60:
            raise invalid(
                "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 "
                "(inclusive)"
            )
    if kind in STREAMS:
        _check_tumbling(config)
    _check_pollers(config.get("ProvisionedPollerConfig"), kind)


def check_timeout(timeout_ms: int | None, kind: Kind) -> None:
    """Refuse a function that may run longer than the kind of source waits."""
    if kind in BROKERS | {"mq", "docdb"} and (timeout_ms or 0) > _LONG_TIMEOUT_MS:
        raise invalid(
            "Function timeout must be less than or equal to 14 minutes for this event source."
        )


def _check_destination(config: Mapping[str, Any] | None, kind: Kind) -> None:
    config = config or {}
    if not is_neutral(config.get("OnSuccess")):
        raise invalid("OnSuccess configuration is not supported for event source mappings.")
    destination = (config.get("OnFailure") or {}).get("Destination") or ""
    if destination.startswith("kafka://") and kind not in BROKERS:
        raise invalid(
            "Unsupported DestinationConfig parameter for given event source mapping type."
        )


def _check_metrics(config: Mapping[str, Any] | None, kind: Kind) -> None:
    wanted = set((config or {}).get("Metrics") or ())
    if kind not in BROKERS and wanted - {"EventCount"}:
        raise invalid("Unsupported MetricsConfig parameter for given event source mapping type.")


def _check_queue(config: Mapping[str, Any], kind: Kind) -> None:
    size, window = config["BatchSize"], config["MaximumBatchingWindowInSeconds"]
    if size > _SMALL_BATCH and window == 0:
        raise invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is "
            "greater than 10"
        )
    if kind == "fifo" and window > 0:
        raise invalid("Batching window is not supported for FIFO queues")
    if kind == "fifo" and size > _SMALL_BATCH:
        raise invalid("Batch size must not exceed 10 for FIFO queues")
    if config.get("ProvisionedPollerConfig") and config.get("ScalingConfig"):
        raise invalid(
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use "
            "MaximumPollers as the control mechanism and remove maximum concurrency."
        )


def _check_start(config: Mapping[str, Any], kind: Kind, *, creating: bool) -> None:
    position, moment = config.get("StartingPosition"), config.get("StartingPositionTimestamp")
    if not creating:
        return
    if position is None and kind in STREAMS:
        raise invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy "
            "constraint: Member must not be null."
        )
    if position == "AT_TIMESTAMP" and kind == "dynamodb":
        raise invalid(f"Unsupported starting position for arn type: {config['EventSourceArn']}")
    if position == "AT_TIMESTAMP" and moment is None:
        raise invalid(
            "Need to specify a timestamp"
            if kind in STREAMS
            else "When the starting position is 'AT_TIMESTAMP', a starting position timestamp "
            "must be provided."
        )
    if moment is not None and position != "AT_TIMESTAMP":
        raise invalid("Timestamp only valid with StartingPosition AT_TIMESTAMP")
    if moment is not None and moment > time.time():
        raise invalid("StartingPositionTimestamp must not be in the future")


def _check_tumbling(config: Mapping[str, Any]) -> None:
    if not config.get("TumblingWindowInSeconds"):
        return
    if config.get("ParallelizationFactor", 1) > 1:
        raise invalid(
            "Parallelization factor must be equal to 1 when tumbling window period is configured"
        )
    if config.get("FilterCriteria"):
        raise invalid("Filter criteria must be empty when tumbling window period is configured")


def _check_pollers(pollers: Mapping[str, Any] | None, kind: Kind) -> None:
    if not pollers:
        return
    if "MinimumPollers" not in pollers and "MaximumPollers" not in pollers:
        raise invalid(
            "Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is "
            "provided."
        )
    least_allowed, most_allowed = (2, _POLLERS_MAX) if kind in QUEUES else (1, 2_000)
    least = pollers.get("MinimumPollers", least_allowed)
    most = pollers.get("MaximumPollers", max(200, least))
    if not (least_allowed <= least <= 200 and least <= most <= most_allowed):
        raise invalid(
            f"MinimumPollers should be between [{least_allowed}, 200] and MaximumPollers should "
            f"be between [MinimumPollers, {most_allowed}]"
        )


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
