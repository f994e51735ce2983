"""Drains the canned stream with the bound, `benches/bound`: the least that delivers an event.

`python -m benches.load.drain_bound URL RECORDS`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benches.load.meter import Meter, emit
from benches.load.target_stream import REGION, ROLE, BenchStream

_ROOT = Path(__file__).resolve().parents[2]


def bound() -> Any:
    """Load what `cargo build --release -p penstock-bound` made."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or _ROOT / "target")
    path = str(target / "release" / "libpenstock_bound.so")
    loader = ExtensionFileLoader("penstock_bound", path)
    spec = importlib.util.spec_from_loader("penstock_bound", loader)
    if spec is None:
        raise ImportError(f"{path} is not an extension")
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def main() -> None:
    """Drain one shard, then print the meter."""
    stream = BenchStream.at(sys.argv[1])
    meter = Meter(int(sys.argv[2]))
    bound().drain(
        urlsplit(sys.argv[1]).port,
        stream.iterator,
        meter.records,
        lambda event, _context: meter.take(event),
        shard=stream.shard,
        role=ROLE,
        region=REGION,
        arn=stream.arn,
    )
    emit(meter.result())


if __name__ == "__main__":
    main()
