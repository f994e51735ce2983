"""Keeps the mappings of the API in the state directory, in a SQLite file of their own.

Rules: the file is opened by Python's own sqlite3 and by nothing else, since two copies of SQLite in
one process must never open the same file; a change is on disk before it is answered; the file is
made with the first mapping, readable by its owner alone; a file of a later version is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock.errors import CheckpointError
from penstock.mappings.kept import Kept

if TYPE_CHECKING:
    import sqlite3

FILE: Final = "mappings.db"
VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE about (identity TEXT NOT NULL) STRICT;
CREATE TABLE mappings (
    uuid TEXT PRIMARY KEY,
    place INTEGER NOT NULL UNIQUE,
    document TEXT NOT NULL
) STRICT;
"""


def keeps_mappings(directory: Path | None) -> bool:
    """Whether a state directory has mappings that the API made."""
    return directory is not None and (directory / FILE).exists()


class Store:
    """The mappings of one state directory, or of the memory when there is none."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / FILE
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity = secrets.token_hex(8)

    @property
    def identity(self) -> str:
        """What tells this store's markers from another's."""
        with self._lock:
            if self._connection is None and self._exists():
                self._connection = self._open()
            return self._identity

    def load(self) -> list[Kept]:
        """Give every mapping, in the order in which they were made."""
        with self._lock, self._explained():
            if self._connection is None:
                if not self._exists():
                    return []
                self._connection = self._open()
            query = "SELECT uuid, place, document FROM mappings ORDER BY place"
            rows = self._connection.execute(query).fetchall()
        return [self._kept(*row) for row in rows]

    def save(self, kept: Kept) -> None:
        """Put a mapping, new or changed."""
        document = asdict(kept)
        uuid, place = document.pop("uuid"), document.pop("order")
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        statement = (
            "INSERT INTO mappings (uuid, place, document) VALUES (?, ?, ?) "
            "ON CONFLICT (uuid) DO UPDATE SET document = excluded.document"
        )
        with self._changing() as connection:
            connection.execute(statement, (uuid, place, text))

    def remove(self, uuid: str) -> None:
        """Take a mapping out."""
        with self._changing() as connection:
            connection.execute("DELETE FROM mappings WHERE uuid = ?", (uuid,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _exists(self) -> bool:
        return self._path is not None and self._path.exists()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            if self._connection is None:
                self._connection = self._open()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise

    def _open(self) -> sqlite3.Connection:
        import sqlite3  # here, so that importing penstock does not wait for it

        with self._explained():
            if self._path is not None:
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            connection = sqlite3.connect(
                self._path or ":memory:", timeout=5.0, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for pragma in ("trusted_schema=OFF", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise CheckpointError(
                f"{self._path} was written by a later version of penstock",
                code="PS303",
                hint="use that version, or another state directory",
            )
        if version == 0:
            connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
            connection.execute("INSERT INTO about VALUES (?)", (self._identity,))
        self._identity = str(connection.execute("SELECT identity FROM about").fetchone()[0])

    def _kept(self, uuid: str, place: int, document: str) -> Kept:
        try:
            members: dict[str, Any] = json.loads(document)
            return Kept(uuid=uuid, order=place, **members)
        except (TypeError, ValueError) as error:
            raise self._damaged(error) from error

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except sqlite3.OperationalError as error:
            raise CheckpointError(
                f"{self._path} cannot be used: {error}",
                code="PS304",
                hint="look at the disk's space and the file's permissions",
            ) from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"{self._path} cannot be read: {error}",
            code="PS302",
            hint="restore the file, or move it away: the mappings made by the API are in it",
        )
