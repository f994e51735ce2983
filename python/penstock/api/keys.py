"""Keeps the keys and tokens that callers of the mapping API are known by, in the state directory.

Rules: what is kept is penstock's own, made here, never anybody's credentials of AWS; the file is
its owner's alone and refused when it is not; of a token only a hash is kept, of a key the secret,
since a signature can be checked with nothing less; a change is on disk before it is told; whoever
reads sees changes of other processes at the next request.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from penstock.api.scopes import SCOPES
from penstock.errors import CheckpointError, ConfigurationError

FILE: Final = "keys.json"
KEY: Final = "key"
TOKEN: Final = "token"  # noqa: S105 -- a word
KINDS: Final = (KEY, TOKEN)
KEYS_MAX: Final = 1000
NAME_MAX: Final = 64
_VERSION: Final = 1
_FILE_BYTES_MAX: Final = 1024 * 1024
_NAME_SIGNS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=,.@_-"
)
# As long as AWS's ids, which tools check, and of another beginning, so that nobody mixes them up.
_ID_PREFIX: Final = "PSTK"
_ID_SIGNS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ID_LENGTH: Final = 16
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key or token: who has it and what it is good for; `secret` is a hash if it is a token."""

    id: str
    kind: str
    name: str
    scope: str
    made: float
    secret: str = field(repr=False)
    # When it ceases to be good for anything, in seconds since 1970; None for one that stays.
    expires: float | None = None

    def is_expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now

    def described(self) -> dict[str, Any]:
        """Give what may be shown."""
        return {name: value for name, value in asdict(self).items() if name != "secret"}


class KeyRing:
    """The keys of one state directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> Sequence[Key]:
        """Give every key, in the order in which they were made."""
        with self._lock:
            self._refresh()
            return list(self._keys.values())

    def find(self, key_id: str) -> Key | None:
        """Give the key of an id; tokens have none that anybody sends."""
        with self._lock:
            self._refresh()
            found = self._keys.get(key_id)
        return found if found is not None and found.kind == KEY else None

    def of_token(self, token: bytes) -> Key | None:
        """Give the token that this text is."""
        hashed = hashlib.sha256(token).hexdigest()
        with self._lock:
            self._refresh()
            tokens = [each for each in self._keys.values() if each.kind == TOKEN]
        # Every one is compared, in constant time, so that how long it takes says nothing.
        same = [each for each in tokens if secrets.compare_digest(each.secret, hashed)]
        return same[0] if same else None

    def create(
        self, *, name: str, scope: str, kind: str = KEY, lifetime: float | None = None
    ) -> tuple[Key, str]:
        """Make a key, for ever or for so many seconds.

        Gives its secret too, which for a token is not kept.
        """
        _check(name, scope, kind)
        now = round(time.time(), 3)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        made = Key(
            id=_ID_PREFIX + "".join(secrets.choice(_ID_SIGNS) for _ in range(_ID_LENGTH)),
            kind=kind,
            name=name,
            scope=scope,
            made=now,
            expires=None if lifetime is None else now + lifetime,
            secret=secret if kind == KEY else hashlib.sha256(secret.encode()).hexdigest(),
        )
        with self._changing() as keys:
            if any(each.name == name for each in keys.values()):
                raise ConfigurationError(
                    f"there is a key named {name} already",
                    code="PS130",
                    path="name",
                    hint="choose another name, or revoke that one first",
                )
            if len(keys) >= KEYS_MAX:
                raise ConfigurationError(
                    f"there are {KEYS_MAX} keys already",
                    code="PS130",
                    path="name",
                    hint="revoke those that nobody uses: penstock keys list",
                )
            keys[made.id] = made
        return made, secret

    def revoke(self, text: str) -> Key:
        """Take a key away, by its id or name; the next request with it is refused."""
        with self._changing() as keys:
            found = next((each for each in keys.values() if text in {each.id, each.name}), None)
            if found is None:
                raise ConfigurationError(
                    f"there is no key {text!r}",
                    code="PS131",
                    path="key",
                    hint="penstock keys list shows the ids and names",
                )
            del keys[found.id]
        return found

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """Change the file, one process at a time."""
        with self._lock, self._explained(), self._turn():
            self._seen = None
            self._refresh()
            keys = dict(self._keys)
            yield keys
            self._write(keys)
            self._seen = None

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        # A file of its own: the keys' own is replaced with every change.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path.with_suffix(".lock"), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, keys: dict[str, Key]) -> None:
        document = {"version": _VERSION, "keys": [asdict(each) for each in keys.values()]}
        fresh = self._path.with_name(f".{FILE}.{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _refresh(self) -> None:
        """Read the file when it is not the one that was read last."""
        with self._explained():
            try:
                facts = self._path.lstat()
            except FileNotFoundError:
                self._seen, self._keys = None, {}
                return
            seen = (facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size)
            if seen != self._seen:
                self._keys = {each.id: each for each in self._read()}
                self._seen = seen

    def _read(self) -> list[Key]:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _check_owner(self._path, os.fstat(descriptor))
            text = file.read(_FILE_BYTES_MAX)
        try:
            document = json.loads(text)
            if document["version"] != _VERSION:
                raise CheckpointError(
                    f"{self._path} is of another version of penstock",
                    code="PS303",
                    hint="use the version that wrote it",
                )
            keys = [Key(**each) for each in document["keys"]]
            for each in keys:
                _check(each.name, each.scope, each.kind)
                each.is_expired(0.0)  # a time that cannot be compared is none
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CheckpointError(
                f"{self._path} is not a file of keys",
                code="PS302",
                hint="put back a copy, or remove it and make new keys with penstock keys create",
            ) from error
        return keys

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._seen = None
            raise CheckpointError(
                f"{self._path} cannot be used: {error.strerror or error}",
                code="PS304",
                hint="it must be a plain file, and only you may read it",
            ) from error


def _check(name: str, scope: str, kind: str) -> None:
    if not (1 <= len(name) <= NAME_MAX and set(name) <= _NAME_SIGNS):
        raise ConfigurationError(
            f"a key's name has 1 to {NAME_MAX} letters, digits and signs of +=,.@_-",
            code="PS102",
            path="name",
        )
    if scope not in SCOPES or kind not in KINDS:
        raise ConfigurationError(
            f"a key has a scope of {', '.join(SCOPES)}, not {scope!r}", code="PS102", path="scope"
        )


def _check_owner(path: Path, facts: os.stat_result) -> None:
    mine = facts.st_uid == os.geteuid()
    if stat.S_ISREG(facts.st_mode) and mine and not facts.st_mode & 0o077:
        return
    raise CheckpointError(
        f"{path} holds secrets and is not yours alone",
        code="PS304",
        hint=f"chmod 600 {path}" if mine else "run penstock as the user who made it",
    )
