"""Drains the canned stream with penstock, by its default options, checkpoints on.

`python -m benches.load.drain_penstock URL RECORDS`. In the environment: `OTHERS`, how many other
containers the program keeps; `COLLECTOR=off`; `IDLE=1` for a start without a record.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import tempfile
import time
from typing import Any, Literal

import penstock
from benches.load.meter import Meter, emit


def main() -> None:
    """Drain, then print the meter."""
    url, meter = sys.argv[1], Meter(int(sys.argv[2]))
    others = [[] for _ in range(int(os.environ.get("OTHERS", "0")))]  # type: list[list[Any]]
    if os.environ.get("COLLECTOR") == "off":
        gc.disable()
    with tempfile.TemporaryDirectory() as state:
        position: Literal["LATEST", "TRIM_HORIZON"] = (
            "LATEST" if os.environ.get("IDLE") else "TRIM_HORIZON"
        )
        app = penstock.App(state=state, endpoint=url, region="us-east-1", workers=1)

        @app.on("kinesis:bench", batch_size=10_000, starting_position=position)
        def handler(event: dict[str, Any], _context: Any) -> None:
            meter.take(event)

        with app.background():
            if position == "LATEST":
                time.sleep(1.5)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                emit({"peak_kib": peak})
                return
            if not meter.done.wait(120):
                raise SystemExit(f"only {meter.seen} of {meter.records} records came")
    emit(meter.result() | {"others": len(others)})


if __name__ == "__main__":
    main()
