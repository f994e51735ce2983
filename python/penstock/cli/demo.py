"""Shows penstock at work, by itself: records in, batches out, one poison record isolated.

Rules: what is claimed is checked by an observer of the demo's own, never by the engine's counters;
it ends by itself; everything it made is gone afterwards.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from penstock import _bridge
from penstock.app import App
from penstock.cli import bisection, console
from penstock.cli.options import json_option, option
from penstock.cli.screen import Screen
from penstock.cli.witness import POISON, Witness, expected_calls_max
from penstock.engine import Engine, outside
from penstock.errors import PenstockError
from penstock.plan import Planned
from penstock.report import Report
from penstock.settings import Settings
from penstock.streams import Record, Streams
from penstock.supervise import Supervisor

STREAM: Final = "demo"
FAILED: Final = "demo-failed"
RETRIES: Final = 2
LANES: Final = 4
BATCH: Final = 100
_KEYS: Final = 500
_PUT: Final = 500
_LIMIT: Final = "5m"


@click.command(short_help="Show the main job on an embedded stream, and check it.")
@option("--records", type=click.IntRange(1), default=50_000, help="How many records.")
@option("--shards", type=click.IntRange(1, 64), default=4, help="How many shards.")
@json_option
def demo(records: int, shards: int, as_json: bool) -> None:
    """Run the main job on an embedded stream and check what came of it.

    Records are put into a stream while a handler reads them, one poison record among them. The
    demo ends by itself; its exit code is 0 if every check held.
    """
    out = Console(stderr=True, highlight=False, quiet=as_json)
    console.configure_logging("text", "error" if as_json else "info", out)
    logging.getLogger("penstock.handler").setLevel(logging.CRITICAL)  # the poison is on purpose
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as directory:
        result = _play(Path(directory), records, shards, out)
    if as_json:
        console.data_json(result.as_data())
    else:
        result.tell()
    sys.exit(console.DONE if all(result.checks.values()) else console.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the demo saw, and whether it is what was promised."""

    records: int
    shards: int
    seconds: float
    report: Report
    witness: Witness
    documents: list[dict[str, Any]]

    @property
    def rate(self) -> float:
        """Records a second, from the first put to the last one handled."""
        return len(self.witness.handled) / self.seconds if self.seconds > 0 else 0.0

    @property
    def checks(self) -> dict[str, bool]:
        """Every promise, and whether it was kept."""
        root = self.witness.first_failure
        calls = self.witness.calls_for(root) if root else []
        infos = [document["KinesisBatchInfo"] for document in self.documents]
        poison = self.witness.poison_sequence
        return {
            "every healthy record was handled": len(self.witness.handled) == self.records - 1,
            "none was handled twice": self.witness.repeated == 0,
            "records of each key came in order": self.witness.disorder == 0,
            "exactly the poison record is in the failure stream": [
                (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"])
                for info in infos
            ]
            == [(poison, poison, 1)],
            "it was isolated in few calls": root is not None
            and len(calls) <= expected_calls_max(root.size, RETRIES),
            "nothing was lost": self.report.drained and self.report.lost == 0,
        }

    def as_data(self) -> dict[str, Any]:
        """Give everything as data."""
        root = self.witness.first_failure
        return {
            "ok": all(self.checks.values()),
            "checks": self.checks,
            "records": self.records,
            "shards": self.shards,
            "handled": len(self.witness.handled),
            "seconds": round(self.seconds, 3),
            "records_per_second": round(self.rate),
            "batches": self.report.batches,
            "retries": self.report.retries,
            "bisections": self.report.bisections,
            "lost": self.report.lost,
            "p99_ms": self.report.p99_ms,
            "poison": self.witness.poison_sequence,
            "failure_documents": self.documents,
            "bisection": bisection.as_data(self.witness.calls_for(root)) if root else None,
        }

    def tell(self) -> None:
        """Write everything for people."""
        root = self.witness.first_failure
        if root is not None:
            calls = self.witness.calls_for(root)
            console.data(
                f"bisection of the poison record ({root.shard} lane {root.lane}, "
                f"{len(calls)} calls):"
            )
            for line in bisection.drawn(calls):
                console.data("  " + line)
        for document in self.documents:
            info = document["KinesisBatchInfo"]
            console.data(
                f"failure document in {FAILED}: {document['requestContext']['condition']} after "
                f"{document['requestContext']['approximateInvokeCount']} attempts, "
                f"{info['batchSize']} record, {info['startSequenceNumber']}"
            )
        for check, holds in self.checks.items():
            console.data(f"{'ok  ' if holds else 'FAIL'}  {check}")
        console.data(f"{self.report.sentence()}")
        console.data(f"{self.rate:,.0f} records/s from the first put to the last one handled")


class _Stage(Screen):
    """The demo's screen: it lets the run end when all records are put."""

    def __init__(self, out: Console, engine: Engine, witness: Witness, records: int) -> None:
        super().__init__(out)
        self._engine = engine
        self._witness = witness
        self._records = records
        self._producer = threading.Thread(target=self._produce, name="demo-producer")

    def plan(self, plan: list[Planned]) -> None:
        """Show the plan and begin to put records."""
        super().plan(plan)
        self._witness.began = time.monotonic()
        self._producer.start()

    def may_end(self) -> bool:
        """Whether all records are put."""
        return not self._producer.is_alive()

    def _produce(self) -> None:
        poison = self._records * 2 // 5
        try:
            for first in range(0, self._records, _PUT):
                numbers = range(first, min(first + _PUT, self._records))
                self._engine.put(STREAM, [_record(number, poison) for number in numbers])
        except PenstockError as error:
            logging.getLogger("penstock").warning("the demo's producer stopped: %s", error)


def _play(directory: Path, records: int, shards: int, out: Console) -> Result:
    witness = Witness()
    app = App(
        state=directory,
        streams={STREAM: shards, FAILED: 1},
        drain_timeout="20s",
        silence=["PS803"],
    )
    app.on(
        f"stream:{STREAM}",
        batch_size=BATCH,
        parallelization_factor=LANES,
        starting_position="TRIM_HORIZON",
        bisect_batch_on_function_error=True,
        maximum_retry_attempts=RETRIES,
        on_failure=f"stream:{FAILED}",
        backoff_base="100ms",
    )(witness.handler)
    engine = app.engine()
    stage = _Stage(out, engine, witness, records)
    try:
        report = Supervisor(engine, until="idle", max_time=_LIMIT, observer=stage).run()
    finally:
        stage.close()
    return Result(
        records=records,
        shards=shards,
        seconds=witness.ended - witness.began,
        report=report,
        witness=witness,
        documents=_failure_documents(directory),
    )


def _record(number: int, poison: int) -> Record:
    key = f"customer-{number % _KEYS:03d}"
    body = {"customer": key, "number": number, "amount": number % 977}
    if number == poison:
        body[POISON] = True
    return key, json.dumps(body)


def _failure_documents(directory: Path) -> list[dict[str, Any]]:
    """Read the failure stream from disk, with the engine gone."""
    document = Settings(state=directory).runtime_document({}, "error")
    runtime = _bridge.Runtime(json.dumps(document).encode())
    try:
        streams = Streams(runtime.streams)
        shard = streams.describe(FAILED)["shards"][0]["id"]
        records = streams.read(FAILED, shard)["records"]
    finally:
        outside(lambda: runtime.close(5.0))
    return [json.loads(base64.b64decode(record["data"])) for record in records]
