"""Answers of the greatest size come whole: one record that fills one, and ten thousand that do."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

import penstock
from tests.python.integration import harness
from tests.services.environment import clean_process
from tests.services.wire import wire_server

# What Kinesis takes as one record, its key included, is as much as one answer may hold.
ANSWER_BYTES = 10 << 20
KEY_BYTES = len("key-000000")


@pytest.mark.slow
def test_a_record_that_fills_an_answer_is_given_up_and_does_not_stand_in_the_way(
    tmp_path: Path,
) -> None:
    canned = f"3x{ANSWER_BYTES - KEY_BYTES}"
    documents, sizes, answers = _run(tmp_path, canned)
    assert answers == [1, 1, 1]
    assert sizes == [], "an event holds 6 MB"
    assert [one["KinesisBatchInfo"]["batchSize"] for one in documents] == [1, 1, 1]
    first = [one["KinesisBatchInfo"]["startSequenceNumber"] for one in documents]
    assert first == sorted(set(first))


def test_ten_thousand_records_of_a_byte_come_in_one_answer_and_one_batch(tmp_path: Path) -> None:
    documents, sizes, answers = _run(tmp_path, "10000x1")
    assert answers == [10_000]
    assert sizes == [[1] * 10_000]
    assert documents == []


def _run(home: Path, canned: str) -> tuple[list[dict[str, Any]], list[list[int]], list[int]]:
    """Give failure documents, sizes of the records of each event, and records of each answer."""
    documents: list[dict[str, Any]] = []
    sizes: list[list[int]] = []
    with clean_process(), wire_server("--canned", canned) as server:
        app = penstock.App(state=home / "state", endpoint=server.url, region="us-east-1")

        @app.destination(name="kept")
        def kept(document: dict[str, Any]) -> None:
            documents.append(document)

        @app.on(
            "kinesis:bench",
            batch_size=10_000,
            starting_position="TRIM_HORIZON",
            maximum_retry_attempts=0,
            on_failure="function:kept",
        )
        def handler(event: dict[str, Any], _context: Any) -> None:
            sizes.append(
                [len(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]
            )

        with app.background() as engine:
            harness.until_idle(engine)
            counters = engine.snapshot()["mappings"][0]["counters"]
        answers = [call.records for call in server.calls("GetRecords") if call.records]
    assert counters["failed_invocations"] == 0
    return documents, sizes, answers
