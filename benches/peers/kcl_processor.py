"""The Python half of a KCL application: takes records over its pipes and does nothing with them.

`python -m benches.peers.kcl_processor RECORDS`. Its standard output is the protocol's, so the meter
goes to standard error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from amazon_kclpy import kcl

from benches.load.meter import Meter


class Processor:
    """Counts records until there were enough, then leaves."""

    version = 3

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def initialize(self, _given: Any) -> None:
        """Begin with a shard."""

    def process_records(self, given: Any) -> None:
        """Take a batch."""
        self._meter.take({"Records": given.records})
        if self._meter.done.is_set():
            sys.stderr.write(json.dumps(self._meter.result()) + "\n")
            raise SystemExit


def main() -> None:
    """Serve the daemon until there were enough records."""
    kcl.KCLProcess(Processor(Meter(int(sys.argv[1])))).run()


if __name__ == "__main__":
    main()
