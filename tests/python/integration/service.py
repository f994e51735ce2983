"""Runs one penstock service whose handlers write a journal: the process that tests kill.

`python -m tests.python.integration.service PLAN` reads a plan (JSON): where state is kept, which
endpoint is read, the mappings with their options, and how handlers behave. A handler appends one
line per record to the journal: `B` before it works on a batch, `E` after it succeeded, `F` after it
failed. Lines of one batch are written at once, so a kill never tears them.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import penstock
from tests.python.integration.sums import summing


class Journal:
    """A file that lines are appended to, one write a batch."""

    def __init__(self, path: str, life: int, mapping: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._prefix = f"{life} {mapping}"

    def write(self, mark: str, shard: str, records: list[dict[str, Any]]) -> None:
        """Append one line for each record."""
        start = f"{mark} {time.time():.6f} {self._prefix} {shard}"
        lines = [f"{start} {record['key']} {record['n']} {record['id']}\n" for record in records]
        os.write(self._file, "".join(lines).encode())


def make_handler(journal: Journal, behaviour: dict[str, Any]) -> Any:
    """Give a handler that behaves as the plan says."""
    sleep_s = behaviour.get("sleep_ms", 0) / 1_000
    compute_s = behaviour.get("compute_ms", 0) / 1_000
    failing = set(behaviour.get("failing_keys", ()))
    reports = behaviour.get("reports", False)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
        shard = shard_of(event["Records"][0])
        records = [payload(record) for record in event["Records"]]
        journal.write("B", shard, records)
        if sleep_s:
            time.sleep(sleep_s)
        if compute_s:
            done_at = time.monotonic() + compute_s
            while time.monotonic() < done_at:
                sum(range(1_000))
        if reports:
            return report(event["Records"], records, journal)
        for record in records:
            if record.get("poison") or record["key"] in failing:
                journal.write("F", shard, records)
                raise ValueError(f"record {record['id']} cannot be handled")
        journal.write("E", shard, records)
        return None

    return handler


def report(
    messages: list[dict[str, Any]], records: list[dict[str, Any]], journal: Journal
) -> dict[str, Any]:
    """Report what cannot be handled and, in a group, what follows it."""
    stopped: set[str] = set()
    good, bad = [], []
    for message, record in zip(messages, records, strict=True):
        group = message["attributes"].get("MessageGroupId")
        if record.get("poison") or group in stopped:
            stopped |= {group} if group else set()
            bad.append((message["messageId"], record))
        else:
            good.append(record)
    for mark, some in (("E", good), ("F", [record for _, record in bad])):
        if some:
            journal.write(mark, "-", some)
    return {"batchItemFailures": [{"itemIdentifier": name} for name, _ in bad]}


def shard_of(record: dict[str, Any]) -> str:
    """Give the shard that a record names; a table's records and messages name none."""
    return str(record["eventID"].partition(":")[0]) if "kinesis" in record else "-"


def payload(record: dict[str, Any]) -> dict[str, Any]:
    """Give what the producer put: a payload, a body, or what a table's change tells of it."""
    if "kinesis" in record:
        decoded: dict[str, Any] = json.loads(base64.b64decode(record["kinesis"]["data"]))
        return decoded
    if "body" in record:
        sent: dict[str, Any] = json.loads(record["body"])
        return sent
    change = record["dynamodb"]
    deleted = "NewImage" not in change
    image = change["OldImage" if deleted else "NewImage"]
    # A delete is the write that follows the image that it takes away.
    n = int(image["n"]["N"]) + deleted
    key = change["Keys"]["id"]["S"]
    return {"key": key, "n": n, "id": write_id(key, n)}


def write_id(key: str, n: int) -> int:
    """Number the writes to a table: the n-th write of a key."""
    return int(key.removeprefix("key-")) * 1_000_000 + n


def main() -> int:
    """Run the plan named on the command line until a signal, or until everything is settled."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    logging.basicConfig(
        level=plan.get("log_level", "INFO"),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    app = penstock.App(
        state=plan["state"],
        workers=plan.get("workers", 8),
        endpoint=plan.get("endpoint"),
        region="us-east-1",
        drain_timeout=plan.get("drain_timeout", 20),
        streams=plan.get("streams"),
        queues=plan.get("queues"),
    )
    for name, mapping in plan["mappings"].items():
        journal = Journal(plan["journal"], plan["life"], name)
        behaviour = mapping.get("behaviour", {})
        handler: Any = make_handler(journal, behaviour)
        if behaviour.get("sums"):
            handler = summing(plan["sums"], plan["life"], behaviour)
        handler = app.function(name=name)(handler)
        app.on(mapping["source"], **mapping["options"])(handler)
    report = app.run(until=plan.get("until"), max_time=plan.get("max_time"))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
