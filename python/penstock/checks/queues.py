"""Asks an SQS queue for each thing that reading it needs, and looks at its settings.

Rules: nothing is received, since every receive counts against the redrive policy; that messages may
be deleted and shown again is asked with a receipt that no message has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from penstock import sqs
from penstock.access_errors import explained
from penstock.checks.findings import Finding, failed
from penstock.documents import Prepared
from penstock.errors import SourceError

_NO_RECEIPT: Final = "penstock-check"
# What AWS says of that receipt to whom it lets ask.
_ALLOWED: Final = frozenset(
    {"ReceiptHandleIsInvalid", "InvalidParameterValue", "RequestThrottled", "ThrottlingException"}
)
_DENIED: Final = "PS204"
_ADVISED_RECEIVES: Final = 5


def queue(each: Prepared, client: Any) -> Iterator[Finding]:
    """Ask one after the other."""
    url = sqs.url(client, each.source)
    found: list[sqs.Queue] = []

    def describe() -> None:
        found.append(sqs.describe(client, url))

    def delete() -> None:
        client.delete_message(QueueUrl=url, ReceiptHandle=_NO_RECEIPT)

    def show() -> None:
        client.change_message_visibility(
            QueueUrl=url, ReceiptHandle=_NO_RECEIPT, VisibilityTimeout=0
        )

    yield _ask(each, "GetQueueAttributes", describe)
    yield _ask(each, "DeleteMessage", delete)
    yield _ask(each, "ChangeMessageVisibility", show)
    said = "not asked: a receive would count against the redrive policy"
    yield Finding(subject="ReceiveMessage", good=True, said=said)
    for one in found:
        yield Finding(subject="redrive", good=True, said=_redrive(one))


def _ask(each: Prepared, operation: str, call: Callable[[], None]) -> Finding:
    source = each.source
    try:
        with explained(source.uri, str(each.mapping.origin), source.region or ""):
            call()
    except SourceError as error:
        answer = getattr(error.__cause__, "response", {}).get("Error", {})
        code = str(answer.get("Code", ""))
        if code.rpartition(".")[2] not in _ALLOWED:
            hint = f"allow sqs:{operation} on {source.arn}" if error.code == _DENIED else None
            return failed(operation, error, hint)
    return Finding(subject=operation, good=True, said="allowed")


def _redrive(queue: sqs.Queue) -> str:
    if queue.max_receive_count is None:
        return "none: a message that cannot be handled comes again until it expires"
    advice = ""
    if queue.max_receive_count < _ADVISED_RECEIVES:
        advice = f"; AWS advises {_ADVISED_RECEIVES} or more"
    count = queue.max_receive_count
    return f"after {count} receives to {queue.dead_letter_arn}{advice}"
