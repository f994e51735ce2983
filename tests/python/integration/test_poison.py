"""One poison record in a batch is found by bisection, in few calls, and nothing else is lost."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import penstock
from tests.python.integration import harness

RETRIES = 2


@pytest.mark.parametrize("records", [100, 1_000, 10_000])
def test_bisection_finds_exactly_the_poison_record(records: int, tmp_path: Path) -> None:
    calls: list[int] = []
    handled: set[str] = set()
    failures = tmp_path / "failures.jsonl"
    poison = f"{records * 37 // 100}"
    app = penstock.App(state=":memory:", streams={"orders": 1})

    @app.on(
        "stream:orders",
        batch_size=10_000,
        maximum_batching_window_in_seconds=2,
        starting_position="TRIM_HORIZON",
        bisect_batch_on_function_error=True,
        maximum_retry_attempts=RETRIES,
        on_failure=f"file:{failures}",
    )
    def handler(event: dict[str, Any], context: Any) -> None:
        keys = [record["kinesis"]["partitionKey"] for record in event["Records"]]
        calls.append(len(keys))
        if poison in keys:
            raise ValueError("a poison record")
        handled.update(keys)

    with app.background() as engine:
        engine.put("orders", [{"key": str(n), "data": b"x"} for n in range(records)])
        harness.until_idle(engine)
    assert calls[0] == records, "the batch was not whole"
    bound = 2 * math.ceil(math.log2(records)) + 1 + RETRIES
    assert len(calls) <= bound, f"{len(calls)} calls, more than {bound}"
    assert handled == {str(n) for n in range(records)} - {poison}
    documents = [json.loads(line) for line in failures.read_text().splitlines()]
    assert len(documents) == 1
    assert documents[0]["KinesisBatchInfo"]["batchSize"] == 1
    assert documents[0]["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert documents[0]["requestContext"]["approximateInvokeCount"] == RETRIES + 1
