"""Says in AWS's words why a source cannot be read, and that a mapping is there already."""

from __future__ import annotations

from penstock.errors import Refusal, SourceError
from penstock.mappings.kept import API, Kept
from penstock.mappings.kinds import QUEUES
from penstock.mappings.names import function_label
from penstock.refusals import CONFLICT, invalid


def source_refusal(error: SourceError, mapping: Kept) -> Refusal:
    """Say that a source cannot be read."""
    arn = mapping.source
    if error.code == "PS203" and mapping.kind in QUEUES:
        return invalid(
            "Error occurred while ReceiveMessage. SQS Error Code: "
            "AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does "
            "not exist."
        )
    if error.code == "PS203":
        return invalid(f"Stream not found: {arn}", hint=error.hint)
    if error.code == "PS204":
        actions = (
            "GetRecords, GetShardIterator, DescribeStream, and ListStreams Actions on your stream "
            "in IAM."
            if mapping.kind == "dynamodb"
            else "GetRecords, GetShardIterator, DescribeStream, DescribeStreamSummary, ListShards, "
            "and ListStreams Actions on your stream."
        )
        return invalid(
            f"Cannot access stream {arn}. Please ensure the role can perform the {actions}",
            hint=error.message,
        )
    return invalid(error.message, hint=error.hint)


def twin_refusal(mapping: Kept, twin: Kept) -> Refusal:
    """Say that a source is mapped to a function already."""
    label = function_label(mapping.function_arn)
    rest = f"already exists. Please update or delete the existing mapping with UUID {twin.uuid}"
    if mapping.kind in QUEUES:
        text = (
            f'An event source mapping with SQS arn (" {mapping.source} ") and function '
            f'(" {label} ") '
        )
    elif mapping.kind in {"kafka", "msk"}:
        endpoints = mapping.config.get("SelfManagedEventSource", {}).get("Endpoints", {})
        servers = ",".join(endpoints.get("KAFKA_BOOTSTRAP_SERVERS", ())) or mapping.source
        text = (
            f'An event source mapping with event source ("{servers}"), function '
            f'("{mapping.function_arn}"), topics ("{",".join(mapping.config.get("Topics", ()))}") '
        )
    else:
        text = (
            f'The event source arn (" {mapping.source} ") and function (" {label} ") provided '
            "mapping "
        )
    hint = None if twin.origin == API else f"it comes from {twin.origin}; change it there"
    return Refusal(text + rest, type=CONFLICT, hint=hint)
