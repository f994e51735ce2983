"""Powertools' processors of SQS batches work unmodified on embedded queues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.parser import parse
from aws_lambda_powertools.utilities.parser.models import SqsModel

import penstock
from penstock.queues import QueueOptions
from tests.python.integration import harness

REDRIVE: dict[str, QueueOptions] = {
    "letters": {},
    "orders": {"visibility_timeout": 1, "dead_letter_queue": "letters", "max_receive_count": 2},
    "letters.fifo": {},
    "orders.fifo": {
        "visibility_timeout": 1,
        "dead_letter_queue": "letters.fifo",
        "max_receive_count": 2,
    },
}


def _run(name: str, processor: Any, messages: list[Any], state: Path) -> tuple[list[str], Any]:
    """Handle messages until one of them is a dead letter and the others are gone."""
    seen: list[str] = []
    events: list[dict[str, Any]] = []
    app = penstock.App(state=state, queues=REDRIVE, silence=["PS805"])

    def handle(record: SQSRecord) -> None:
        seen.append(record.body)
        if "poison" in record.body:
            raise ValueError(record.body)

    @app.on(f"queue:{name}", batch_size=10, report_batch_item_failures=True)
    def handler(event: dict[str, Any], context: Any) -> Any:
        events.append(event)
        return process_partial_response(
            event=event, record_handler=handle, processor=processor, context=context
        )

    letters = name.replace("orders", "letters")
    with app.background() as engine:
        engine.send(name, messages)
        harness.until(
            lambda: bool(engine.queues.browse(letters)) and not engine.queues.browse(name),
            "only the poison is left",
            30,
        )
        left = [letter["body"] for letter in engine.queues.browse(letters)]
    assert parse(event=events[0], model=SqsModel).Records
    assert next(SQSEvent(events[0]).records).event_source == "aws:sqs"
    json.dumps(events)
    return seen, left


def test_a_standard_queue_keeps_what_failed_only(tmp_path: Path) -> None:
    processor = BatchProcessor(event_type=EventType.SQS)
    seen, left = _run("orders", processor, ["a", "poison", "b"], tmp_path)
    assert sorted(seen) == ["a", "b", "poison", "poison"]
    assert left == ["poison"]


@pytest.mark.parametrize("skip_group_on_error", [False, True])
def test_a_fifo_queue_keeps_the_order_behind_a_failure(
    tmp_path: Path, *, skip_group_on_error: bool
) -> None:
    processor = SqsFifoPartialProcessor(skip_group_on_error=skip_group_on_error)
    bodies = ["a1", "a-poison", "a2", "b1", "b2"]
    messages = [
        {"MessageBody": body, "MessageGroupId": body[0], "MessageDeduplicationId": body}
        for body in bodies
    ]
    seen, left = _run("orders.fifo", processor, messages, tmp_path)
    assert "a-poison" in left
    handled = [body for body in seen if "poison" not in body]
    for group in ("a", "b"):
        of_group = [body for body in handled if body.startswith(group)]
        assert of_group == sorted(set(of_group)), "each once, in order"
    # What Powertools did not come to counts as failed, so that it may be a dead letter as well.
    assert set(handled) | set(left) == set(bodies)
