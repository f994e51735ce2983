"""Runs `penstock serve` on a program whose functions write a journal, and talks to its API."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config

from tests.python.integration.harness import ROOT
from tests.services.environment import ACCESS_KEY, SECRET_KEY, clean_environment

_ANSWERS = re.compile(r"the mapping API answers on (https?://\S+)")
_WITHIN_S = 60.0

PROGRAM = """\
import penstock
from tests.python.integration.service import Journal, make_handler

app = penstock.App(workers=8, drain_timeout=20, streams={streams!r}, queues={queues!r})
for name, behaviour in {functions!r}.items():
    app.function(name=name, timeout="30s")(
        make_handler(Journal({journal!r}, {life}, name), behaviour))
"""


@dataclass(slots=True)
class ApiService:
    """A running `penstock serve`."""

    url: str
    journal: Path
    log: Path
    process: subprocess.Popen[bytes]

    def client(self, region: str = "us-east-2") -> Any:
        """Give a boto3 client of the API, which checks nothing and tries once."""
        return boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, read_timeout=30, parameter_validation=False
            ),
        )

    def until_state(self, client: Any, uuid: str, state: str) -> dict[str, Any]:
        """Wait for a state, as Terraform's provider does: by looking."""
        deadline = time.monotonic() + _WITHIN_S
        while True:
            found: dict[str, Any] = client.get_event_source_mapping(UUID=uuid)
            if found["State"] == state:
                return found
            assert time.monotonic() < deadline, f"{uuid} stays {found['State']}\n{self.tail()}"
            time.sleep(0.02)

    def until_gone(self, client: Any, uuid: str) -> None:
        """Wait until a mapping is deleted."""
        deadline = time.monotonic() + _WITHIN_S
        with suppress(client.exceptions.ResourceNotFoundException):
            while True:
                state = client.get_event_source_mapping(UUID=uuid)["State"]
                assert state == "Deleting"
                assert time.monotonic() < deadline, f"{uuid} stays {state}\n{self.tail()}"
                time.sleep(0.02)

    def tail(self) -> str:
        """Give the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def stop(self) -> int:
        """Ask for a drain; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_WITHIN_S)


@contextmanager
def serving(
    home: Path,
    *arguments: str,
    functions: Mapping[str, dict[str, Any]],
    streams: Mapping[str, int] | None = None,
    queues: Mapping[str, dict[str, Any]] | None = None,
    life: int = 1,
    environment: Mapping[str, str] | None = None,
    more: str = "",
) -> Iterator[ApiService]:
    """Serve functions until the end of the block; what is left running is killed.

    `more` is added to the text of the program.
    """
    journal, log = home / "journal", home / f"log-{life}"
    text = PROGRAM.format(
        functions=dict(functions),
        streams=dict(streams or {}),
        queues=dict(queues or {}),
        journal=str(journal),
        life=life,
    )
    (home / "program.py").write_text(text + more)
    command = [sys.executable, "-m", "penstock", "serve", "program:app", "--api", "127.0.0.1:0"]
    variables = clean_environment() | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--state", str(home / "state"), *arguments],
            cwd=home,
            env=variables | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield ApiService(_until_answered(process, log), journal, log, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(_WITHIN_S)


def _until_answered(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _WITHIN_S
    while True:
        text = log.read_text(errors="replace")
        found = _ANSWERS.search(text)
        if found is not None:
            return found[1]
        assert process.poll() is None, f"penstock serve has ended:\n{text}"
        assert time.monotonic() < deadline, f"penstock serve does not answer:\n{text}"
        time.sleep(0.05)
