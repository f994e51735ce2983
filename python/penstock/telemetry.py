"""Brings the engine's logs and notices into `logging`, and formats records for the command line.

Rules: the library never configures handlers, the command line does; JSON lines have Lambda's keys;
the pump is one thread that asks ten times a second and leaves with the program.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from penstock.context import current
from penstock.errors import PenstockError
from penstock.workers import main_thread_gone

if TYPE_CHECKING:
    from penstock._bridge import Runtime

_LEVELS: Final = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# Warnings that only reading can give, by the codes of their notices.
_WARNINGS: Final = {"aggregated_records": "PS808"}
_PULL_SECONDS: Final = 0.1
_PULL_LINES: Final = 1000


def level_for_runtime() -> str:
    """Give the level below which the engine need not make log lines at all."""
    level = logging.getLogger("penstock").getEffectiveLevel()
    for name in ("error", "warn", "info", "debug"):
        if level >= _LEVELS[name]:
            return name
    return "trace"


class Pump:
    """The thread that drains the engine's ring of logs."""

    def __init__(
        self, runtime: Runtime, names: dict[str, str], silence: Collection[str] = ()
    ) -> None:
        self._runtime = runtime
        self._names = names
        self._silence = silence
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="penstock-logs")

    def start(self) -> None:
        """Start draining."""
        self._thread.start()

    def stop(self) -> None:
        """Drain what is left and stop."""
        self._done.set()
        self._thread.join()

    def _loop(self) -> None:
        while not (self._done.wait(_PULL_SECONDS) or main_thread_gone()):
            if not self._pull():
                return
        self._pull()

    def _pull(self) -> bool:
        try:
            for line in self._runtime.drain_logs(_PULL_LINES):
                self._log(*line)
            for notice in self._runtime.drain_notices(_PULL_LINES):
                self._notice(*notice)
        except PenstockError:
            return False  # closed, or this is a forked child: nothing more will come
        return True

    def _log(
        self, when: float, level: str, target: str, message: str, fields: dict[str, str]
    ) -> None:
        name = target.removeprefix("penstock_").replace("::", ".")
        logger = logging.getLogger(f"penstock.{name}")
        number = _LEVELS.get(level.lower(), logging.INFO)
        if logger.isEnabledFor(number):
            record = logger.makeRecord(logger.name, number, "", 0, message, (), None)
            record.created = when
            record.msecs = (when % 1) * 1000
            record.penstock = fields
            logger.handle(record)

    def _notice(self, mapping: str, level: str, code: str, shard: str | None, message: str) -> None:
        warning = _WARNINGS.get(code)
        if warning in self._silence:
            return
        if warning is not None:
            message = f"warning[{warning}]: {message}"
        logger = logging.getLogger("penstock.mapping")
        fields = {"mapping": mapping, "code": code} | ({"shard": shard} if shard else {})
        place = self._names.get(mapping, mapping) + (f" {shard}" if shard else "")
        logger.log(
            _LEVELS.get(level, logging.INFO), "%s: %s", place, message, extra={"penstock": fields}
        )


class TextFormatter(logging.Formatter):
    """One line a record: time, level, text."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """One JSON object a record, with the keys of Lambda's JSON logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the record as one line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        context = current.get()
        if context is not None:
            line["requestId"] = context.aws_request_id
            line["mapping"] = context.penstock.mapping
            line["source"] = context.penstock.source
            line["shard"] = context.penstock.shard
            line["attempt"] = context.penstock.attempt
        line |= getattr(record, "penstock", {})
        if record.exc_info and record.exc_info[1] is not None:
            line["errorType"] = type(record.exc_info[1]).__qualname__
            line["stackTrace"] = self.formatException(record.exc_info).splitlines()
        return json.dumps(line, ensure_ascii=False, default=str)
