"""Drains the canned queue with penstock, by its default options.

`python -m benches.load.drain_queue URL MESSAGES`.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import penstock
from benches.load.meter import emit
from benches.load.queue_meter import QueueMeter

SLOTS = 8


def main() -> None:
    """Drain, then print the meter."""
    url, meter = sys.argv[1], QueueMeter(int(sys.argv[2]))
    with tempfile.TemporaryDirectory() as state:
        app = penstock.App(state=state, endpoint=url, region="us-east-1", workers=SLOTS)

        @app.on("sqs:bench")
        def handler(event: dict[str, Any], _context: Any) -> None:
            meter.take(event)

        with app.background():
            if not meter.done.wait(120):
                raise SystemExit("too few messages came")
    emit(meter.result())


if __name__ == "__main__":
    main()
