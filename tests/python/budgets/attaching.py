"""Takes so many batches of 1,000 records, to have its attaches to the interpreter counted.

`python -m tests.python.budgets.attaching BATCHES`: every batch waits already when it is asked for.
"""

from __future__ import annotations

import sys

from tests.python.boundary.bench import POOL, ask, mapping_document, put, runtime

RECORDS = 1_000
# Always as many are put, so that putting them is not in the difference of two runs.
BATCHES = 6


def main() -> None:
    """Take batches from a stream that holds them all."""
    batches = int(sys.argv[1])
    with runtime() as engine:
        ask(engine, op="create", name="orders", shards=1)
        for _ in range(BATCHES):
            put(engine, [("key", b"x")] * RECORDS)
        engine.add_mapping(mapping_document(BatchSize=RECORDS))
        for _ in range(batches):
            invocation = engine.next_invocation(POOL, 0, 60.0)
            assert invocation is not None
            assert len(invocation.event()["Records"]) == RECORDS
            engine.complete(invocation.mapping, invocation.id, "returned", None)


if __name__ == "__main__":
    main()
