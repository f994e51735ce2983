"""Tells kinds of sources apart by the members of a request, and which member each kind may have.

Rules: an embedded stream is judged as a Kinesis stream and an embedded queue as a standard queue;
an ARN of a service that no mapping can read is no event source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

Kind = Literal["sqs", "fifo", "kinesis", "dynamodb", "msk", "kafka", "mq", "docdb"]

QUEUES: Final = frozenset({"sqs", "fifo"})
STREAMS: Final = frozenset({"kinesis", "dynamodb"})
BROKERS: Final = frozenset({"msk", "kafka"})
_ALL: Final = QUEUES | STREAMS | BROKERS | {"mq", "docdb"}

# Members that some kinds of sources do not have.
SUPPORT: Final[dict[str, frozenset[str]]] = {
    "SelfManagedEventSource": frozenset({"kafka"}),
    "FilterCriteria": _ALL - {"docdb"},
    "FunctionResponseTypes": QUEUES | STREAMS | BROKERS,
    "ScalingConfig": QUEUES,
    "ProvisionedPollerConfig": QUEUES | BROKERS,
    "MetricsConfig": QUEUES | STREAMS | BROKERS,
    "LoggingConfig": BROKERS,
    "StartingPosition": STREAMS | BROKERS | {"docdb"},
    "StartingPositionTimestamp": STREAMS | BROKERS | {"docdb"},
    "DestinationConfig": STREAMS | BROKERS,
    "MaximumRecordAgeInSeconds": STREAMS | BROKERS,
    "MaximumRetryAttempts": STREAMS | BROKERS,
    "BisectBatchOnFunctionError": STREAMS | BROKERS,
    "ParallelizationFactor": STREAMS,
    "TumblingWindowInSeconds": STREAMS,
    "Topics": BROKERS,
    "Queues": frozenset({"mq"}),
    "SourceAccessConfigurations": BROKERS | {"mq", "docdb"},
    "AmazonManagedKafkaEventSourceConfig": frozenset({"msk"}),
    "SelfManagedKafkaEventSourceConfig": frozenset({"kafka"}),
    "DocumentDBEventSourceConfig": frozenset({"docdb"}),
}

# Members that a request to create must have, besides the source and the function.
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "msk": ("Topics",),
    "kafka": ("Topics", "SourceAccessConfigurations"),
    "mq": ("Queues", "SourceAccessConfigurations"),
    "docdb": ("SourceAccessConfigurations", "StartingPosition", "DocumentDBEventSourceConfig"),
}

_SERVICES: Final[dict[str, Kind]] = {
    "kinesis": "kinesis", "dynamodb": "dynamodb", "kafka": "msk", "mq": "mq", "rds": "docdb",
}  # fmt: skip


def kind_of(request: Mapping[str, Any]) -> Kind | None:
    """Give the kind of source that a request names, or None."""
    arn = request.get("EventSourceArn")
    if not arn:
        return None if is_neutral(request.get("SelfManagedEventSource")) else "kafka"
    service, resource = arn.split(":", 5)[2], arn.split(":", 5)[5]
    if service == "sqs" or (service == "penstock" and resource.startswith("queue/")):
        return "fifo" if resource.endswith(".fifo") else "sqs"
    if service == "penstock":
        return "kinesis" if resource.startswith("stream/") else None
    return _SERVICES.get(service)


def is_neutral(value: Any) -> bool:
    """Whether a value asks for nothing, so that any source can have it."""
    if isinstance(value, dict):
        return all(is_neutral(each) for each in value.values())
    return value is None or value in ("", [])
