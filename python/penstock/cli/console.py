"""Writes what the command line says, and turns errors into messages and exit codes.

Rules: data on standard output, everything else on standard error; no meaning by colour alone;
NO_COLOR and dumb terminals are honoured; a broken pipe ends the command quietly.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from penstock.errors import (
    ConfigurationError,
    MappingConflict,
    MappingNotFound,
    PenstockError,
    Refusal,
)
from penstock.telemetry import JsonFormatter, TextFormatter

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2

_STYLES: Final = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


def data(text: str) -> None:
    """Write a line of data."""
    click.echo(text)


def data_json(value: Any) -> None:
    """Write data as JSON: indented for people, compact for programs."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def say(text: str) -> None:
    """Write a line that is not data."""
    click.echo(text, err=True)


def make_console() -> Console:
    """Make the console of everything that is not data."""
    return Console(stderr=True, highlight=False)


def is_live(console: Console) -> bool:
    """Whether a table may be redrawn in place."""
    return console.is_terminal and not console.is_dumb_terminal


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Write a Python warning as everything else that is not data."""
    say(f"warning: {message}")


def explain(error: PenstockError) -> None:
    """Write an error: what happened, to what, what to do."""
    say(error.explain())


def exit_code(error: PenstockError) -> int:
    """Give the exit code of an error."""
    wrong_use = ConfigurationError | MappingConflict | MappingNotFound | Refusal
    return USAGE if isinstance(error, wrong_use) else FAILED


def configure_logging(form: str, level: str, console: Console) -> None:
    """Send log records to standard error; only the command line does this."""
    if form == "json":
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
    else:
        handler = ConsoleHandler(console)
        handler.setFormatter(TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(level.upper())


class ConsoleHandler(logging.Handler):
    """Writes records so that they scroll above a live table."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            text = Text(self.format(record), style=_STYLES.get(record.levelname, ""))
            self._console.print(text, soft_wrap=True)
        except Exception:  # noqa: BLE001 -- as logging's own handlers: a record must not raise
            self.handleError(record)


def leave(code: int) -> NoReturn:
    """End the process at once: handlers that do not return must not keep it."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
