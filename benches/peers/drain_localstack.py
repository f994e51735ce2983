"""Drains the canned stream with LocalStack's poller, processor and sender.

`python -m benches.peers.drain_localstack URL RECORDS`. The call of the function costs nothing: no
HTTP, no container. It is polled without the pause that LocalStack makes between two polls, and
reads no more at once than an event of 6 MB holds, since it has no such limit of its own.
"""

from __future__ import annotations

import io
import sys
from typing import Any

from localstack.services.lambda_.event_source_mapping.esm_event_processor import EsmEventProcessor
from localstack.services.lambda_.event_source_mapping.pipe_loggers.noops_pipe_logger import (
    NoOpsPipeLogger,
)
from localstack.services.lambda_.event_source_mapping.pollers.kinesis_poller import KinesisPoller
from localstack.services.lambda_.event_source_mapping.senders.lambda_sender import LambdaSender

from benches.load.meter import Meter, emit
from benches.load.target_stream import REGION, ROLE, BenchStream

FUNCTION = f"arn:aws:lambda:{REGION}:000000000000:function:bench"
# An event of 6 MB holds about so many records of 1 KB.
BATCH = 3_000


class Function:
    """Stands for the Lambda service, at no cost."""

    def invoke(self, **_: Any) -> dict[str, Any]:
        """Answer as a function does that returns nothing."""
        return {"Payload": io.BytesIO(b"null"), "StatusCode": 200}


class Counted:
    """Counts what a processor has sent."""

    def __init__(self, processor: Any, meter: Meter) -> None:
        self._processor = processor
        self._meter = meter

    def process_events_batch(self, events: list[dict[str, Any]]) -> None:
        """Let the processor send a batch."""
        self._processor.process_events_batch(events)
        self._meter.take({"Records": events})


def main() -> None:
    """Drain one shard, then print the meter."""
    stream = BenchStream.at(sys.argv[1])
    meter = Meter(int(sys.argv[2]))
    sender = LambdaSender(
        target_arn=FUNCTION, target_parameters={}, target_client=Function(), payload_dict=True
    )
    parameters = {
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": BATCH,
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRetryAttempts": -1,
        "MaximumRecordAgeInSeconds": -1,
    }
    poller = KinesisPoller(
        source_arn=stream.arn,
        source_parameters={
            "KinesisStreamParameters": parameters,
            "FilterCriteria": {"Filters": []},
        },
        source_client=stream.client,
        processor=Counted(EsmEventProcessor(sender=sender, logger=NoOpsPipeLogger()), meter),
        invoke_identity_arn=ROLE,
        kinesis_namespace=True,
        esm_uuid="bench",
    )
    while not meter.done.is_set():
        poller.poll_events()
    emit(meter.result())


if __name__ == "__main__":
    main()
