"""Drains the canned stream with async-kinesis, which gives one record after the other.

`python -m benches.peers.drain_async_kinesis URL RECORDS`. Its limit of one read a second is lifted
and records are not parsed; what a handler gets is not Lambda's event, which would cost more.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

from kinesis import Consumer

from benches.load.meter import Meter, emit
from benches.load.target_stream import REGION

READS_PER_SECOND = 1_000


class Unparsed:
    """Gives each record as it came."""

    def parse(self, data: bytes) -> Iterator[bytes]:
        """Give the record's bytes."""
        yield data


async def drain(url: str, meter: Meter) -> None:
    """Take records until there were enough."""
    consumer = Consumer(
        "bench",
        endpoint_url=url,
        region_name=REGION,
        processor=Unparsed(),
        shard_fetch_rate=READS_PER_SECOND,
    )
    one = {"Records": [None]}
    async with consumer:
        async for _ in consumer:
            meter.take(one)
            if meter.done.is_set():
                emit(meter.result())
                sys.stdout.flush()
                # Its tasks sleep for seconds before they see that they are to end.
                os._exit(0)


def main() -> None:
    """Drain one shard, then print the meter."""
    asyncio.run(drain(sys.argv[1], Meter(int(sys.argv[2]))))


if __name__ == "__main__":
    main()
