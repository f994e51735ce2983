"""Keeps the audit trail: who changed what, when, from what to what.

Rules: an entry is one line of JSON at the end of `audit.jsonl` in the state directory, readable by
its owner alone, and on disk before the change is answered; the file is only appended to; a change
that cannot be recorded is not made; the same entry goes to the logger `penstock.audit`. Without a
state directory the log is all there is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pwd
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from penstock.errors import CheckpointError, PenstockError

FILE: Final = "audit.jsonl"
VERSION: Final = 1
# What became of a change: it is about to be made, was made, was refused, or went wrong half-way.
ASKED: Final = "asked"
DONE: Final = "done"
REFUSED: Final = "refused"

log = logging.getLogger("penstock.audit")


@dataclass(slots=True, kw_only=True)
class Change:
    """One change while it is made; whoever makes it fills in what it was and what it became."""

    id: str
    before: Any = None
    after: Any = None
    detail: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks for a change, and from where."""

    actor: str
    address: str


def local_asker(address: str = "command line") -> Asker:
    """Give the user that this process runs as; the control socket is that user's alone too."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    return Asker(actor=f"user:{name}", address=address)


class Audit:
    """The audit trail of one state directory, or of a process that has none."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / FILE
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def changing(
        self, action: str, asker: Asker, *, mapping: str | None = None, asked: Any = None
    ) -> Iterator[Change]:
        """Record a change around its making: that it was asked for, then what became of it.

        What raises out of the block is recorded as refused, with its code, and goes on.
        """
        change = Change(id=secrets.token_hex(8))
        common = {"id": change.id, "action": action, "mapping": mapping}
        self._write(common | {"outcome": ASKED, "asked": asked}, asker)
        try:
            yield change
        except BaseException as error:
            # The refusal is what people must see, not that it could not be recorded.
            with contextlib.suppress(PenstockError):
                self._write(common | {"outcome": REFUSED, "error": _reason(error)}, asker)
            raise
        outcome = {"outcome": DONE, "before": change.before, "after": change.after}
        if change.detail is not None:
            outcome["detail"] = change.detail
        self._write(common | outcome, asker)

    def record(
        self,
        action: str,
        asker: Asker,
        *,
        mapping: str | None = None,
        before: Any = None,
        after: Any = None,
    ) -> None:
        """Record a change that is made in one step, in one entry."""
        entry = {"id": secrets.token_hex(8), "action": action, "mapping": mapping}
        self._write(entry | {"outcome": DONE, "before": before, "after": after}, asker)

    def refused(
        self, action: str, asker: Asker, error: PenstockError, *, mapping: str | None = None
    ) -> None:
        """Record what somebody asked for and may not do, in one entry."""
        entry = {"id": secrets.token_hex(8), "action": action, "mapping": mapping}
        self._write(entry | {"outcome": REFUSED, "error": _reason(error)}, asker)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Give what was recorded, oldest first; what a crash cut short is left out."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def _write(self, fields: dict[str, Any], asker: Asker) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        who = {"actor": asker.actor, "address": asker.address}
        entry = {"version": VERSION, "time": now} | who | fields
        line = json.dumps(entry, separators=(",", ":"), allow_nan=False, default=str)
        if self._path is not None:
            with self._lock:
                _append(self._path, line.encode() + b"\n")
        log.info("%s", line, extra={"penstock": {"audit": entry}})


def _reason(error: BaseException) -> dict[str, str]:
    return {"code": getattr(error, "code", "PS900"), "message": str(error)[:1024]}


def _append(path: Path, line: bytes) -> None:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o600)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = b"\n" + line  # a crash cut the last entry short
            if os.write(file, line) != len(line):
                raise OSError("the disk is full")
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise CheckpointError(
            f"the change cannot be recorded in {path}: {error.strerror or error}",
            code="PS304",
            hint="nothing was changed that is not recorded; look at the disk's space and the "
            "file's permissions",
        ) from error
