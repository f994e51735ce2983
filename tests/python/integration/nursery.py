"""Handlers and hooks that say what kind of process they run in."""

from __future__ import annotations

import logging
import os
import time
from typing import Any, Final

import penstock
from tests.python.integration import hell

NAMES: Final = ("LISTED", "UNLISTED", "PATH", "AWS_REGION", "PENSTOCK_TRACE")
BALLAST_BYTES: Final = 300 * 1024 * 1024
_HELD: Final[list[bytearray]] = []


def tells_environment(event: dict[str, Any], context: penstock.Context) -> None:
    """Note which variables there are."""
    hell.note("V", [(name, str(name in os.environ)) for name in NAMES])


def grows(event: dict[str, Any], context: penstock.Context) -> None:
    """Keep a lot of memory for every record that says so."""
    records = hell.begun(event)
    for _, mark in records:
        if mark == "grow":
            _HELD.append(bytearray(b"x" * BALLAST_BYTES))
    hell.note("H", records)


def logs(event: dict[str, Any], context: penstock.Context) -> None:
    """Log and print what came."""
    for _, mark in hell.told(event):
        logging.getLogger("shop").warning("logged %s", mark)
        print("printed", mark)  # noqa: T201


def connect() -> None:
    """Note a start."""
    hell.note("I", [(str(os.getpid()), "connected")])


def wait_for_ever() -> None:
    """Say what for, and never come back."""
    print("waiting for the database", flush=True)  # noqa: T201
    time.sleep(600)
