"""Runs whole programs, and waits for what engines do in this one."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from penstock.engine import Engine

START: Any = {"starting_position": "TRIM_HORIZON"}


PROGRAM = """
import sys, time, threading, penstock
app = penstock.App(state=":memory:", streams={{"orders": 1}}, silence=["PS801"], workers=4)

@app.on("stream:orders", starting_position="TRIM_HORIZON")
{kind} handler(event, context):
    {body}

{ending}
"""


FORGETS = "engine = app.engine(); engine.start(); engine.put('orders', [('a', b'1')])\n"


MARK = "print('END', time.monotonic(), flush=True)\n"


def run_program(ending: str, *, kind: str = "def", body: str = "pass") -> tuple[int, float, str]:
    """Run a program; give its exit code, how long its end took, and what it wrote."""
    text = PROGRAM.format(kind=kind, body=body, ending=ending)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = done.stdout.split("END ")
    ended = float(told[1].split()[0]) if len(told) > 1 else begun
    return done.returncode, time.monotonic() - ended, done.stdout + done.stderr


def settled(engine: Engine, records: int) -> dict[str, int]:
    """Wait until so many records are settled, one way or the other."""
    deadline = time.monotonic() + 60
    while True:
        counters: dict[str, int] = engine.snapshot()["mappings"][0]["counters"]
        if counters["succeeded"] + counters["dropped"] + counters["delivered"] >= records:
            return counters
        assert time.monotonic() < deadline, counters
        time.sleep(0.01)
