"""Runs drains in interleaved rounds, each in a process of its own, and compares them.

Rules: what is compared delivers the same records, to the last bit, before anything is timed; every
round runs every drain once, and ratios are taken inside a round; a round begins when the machine
is quiet, or after a bounded wait.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.environment import clean_environment
from tests.services.process import running

_ROOT = Path(__file__).resolve().parents[2]
_QUIET = 0.25
_QUIET_WITHIN_S = 5.0

Result = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A program that drains the canned stream: its module, and how many records it takes."""

    module: str
    records: int
    environment: Mapping[str, str]
    # The interpreter that has what it needs; None for this one.
    python: str | None = None


@contextlib.contextmanager
def canned(records: int, size: int, shards: int = 1) -> Iterator[str]:
    """Give the address of an optimised server with so many records a shard, as AWS writes them."""
    program = target() / "release" / "penstock-servers"
    command = [str(program), "kinesis", "--canned", f"{records}x{size}", "--exponent"]
    command += ["--shards", str(shards)]
    with running("penstock-servers", command) as child:
        port = child.fact(lambda fact: "port" in fact)["port"]
        yield f"http://127.0.0.1:{port}"


def target() -> Path:
    """Give the directory that cargo builds in."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or _ROOT / "target")


def run(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    python: str | None = None,
) -> Result:
    """Run a bench's program and give what it printed."""
    ours = {key: value for key, value in os.environ.items() if key.startswith("PENSTOCK_")}
    done = subprocess.run(
        [python or sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment() | ours | dict(environment or {}),
        timeout=300,
    )
    if done.returncode:
        raise SystemExit(f"{module} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def same_events(url: str, drains: Mapping[str, Drain], records: int) -> None:
    """Insist that all drains deliver the same first records."""
    digests = {
        name: run(drain.module, url, str(records), environment={"DIGEST": "1"})["digest"]
        for name, drain in drains.items()
    }
    if len(set(digests.values())) != 1:
        raise SystemExit(f"events differ: {digests}")


def interleaved(url: str, drains: Mapping[str, Drain], rounds: int) -> list[dict[str, Result]]:
    """Run all drains once in every round."""
    results = []
    for _ in range(rounds):
        wait_for_quiet()
        results.append({name: _drained(url, drain) for name, drain in drains.items()})
    return results


def _drained(url: str, drain: Drain) -> Result:
    return run(
        drain.module,
        url,
        str(drain.records),
        environment=drain.environment,
        python=drain.python,
    )


def wait_for_quiet() -> None:
    """Wait until others leave most of the machine idle, for a few seconds at most."""
    until = time.monotonic() + _QUIET_WITHIN_S
    while time.monotonic() < until:
        before = _jiffies()
        time.sleep(0.1)
        after = _jiffies()
        busy = 1 - (after[1] - before[1]) / max(1, after[0] - before[0])
        if busy < _QUIET:
            return


def median(rounds: Sequence[dict[str, Result]], of: Callable[[dict[str, Result]], float]) -> float:
    """Give the median over the rounds of something taken inside each."""
    return statistics.median(of(one) for one in rounds)


def spread(rounds: Sequence[dict[str, Result]], of: Callable[[dict[str, Result]], float]) -> str:
    """Give the smallest and the largest."""
    values = [of(one) for one in rounds]
    return f"{min(values):.2f}–{max(values):.2f}"


def _jiffies() -> tuple[int, int]:
    """All time, and idle time, of all processors."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    times = [int(field) for field in fields]
    return sum(times), times[3] + times[4]
