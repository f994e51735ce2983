"""Makes the TLS that the mapping API is served with, of a certificate's file and its key's.

Rules: what cannot be used is refused before anything starts, by the option that named it; nobody is
asked for a passphrase, so that a start in the background never waits for one; 1.2 at least.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from penstock.errors import ConfigurationError

CERTIFICATE: Final = "api_tls_cert"
KEY: Final = "api_tls_key"
_FILE_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What connections are made with, and whether others than its owner can read the key."""

    context: ssl.SSLContext = field(repr=False)
    exposed: bool


def read_tls(
    certificate: str | os.PathLike[str],
    key: str | os.PathLike[str] | None,
    *,
    options: tuple[str, str] = (CERTIFICATE, KEY),
    where: str | None = None,
) -> Tls:
    """Read a chain of certificates and the key of its first one; one file may hold both."""
    chain_option, key_option = options if key is not None else (options[0], options[0])
    key_path = Path(certificate if key is None else key)
    _check(Path(certificate), b"-----BEGIN CERTIFICATE-----", chain_option, where)
    mode = _check(key_path, b"PRIVATE KEY-----", key_option, where)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key_path, password=_passphrase)
    except _Encrypted:
        raise _wrong(
            f"the key that {key_option} names is kept under a passphrase",
            key_option,
            where,
            "name a file with the key itself, that only you can read",
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _wrong(
                f"the key that {key_option} names is not that of the certificate",
                key_option,
                where,
                "name the certificate first in its file, and the key that it was made for",
            ) from None
        raise _wrong(
            f"what {' and '.join(dict.fromkeys((chain_option, key_option)))} "
            f"{'names' if chain_option == key_option else 'name'} cannot be used: {error.reason}",
            chain_option,
            where,
            "name a chain of certificates and its key in PEM form",
        ) from None
    return Tls(context=context, exposed=bool(mode & 0o077))


class _Encrypted(Exception):
    """Somebody would be asked for a passphrase."""


def _passphrase() -> NoReturn:
    raise _Encrypted


def _check(path: Path, mark: bytes, option: str, where: str | None) -> int:
    """Refuse a file that does not have what it must; gives its mode."""
    try:
        with path.open("rb") as file:
            text, mode = file.read(_FILE_BYTES_MAX), os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no path"
        raise _wrong(
            f"{option} names no file that can be read: {reason}",
            option,
            where,
            "name a file in PEM form",
        ) from None
    if mark in text:
        return mode
    what = "certificate" if b"CERTIFICATE" in mark else "private key"
    raise _wrong(
        f"the file that {option} names has no {what} in PEM form",
        option,
        where,
        f"it has a line with {mark.decode()}",
    )


def _wrong(message: str, path: str, where: str | None, hint: str) -> ConfigurationError:
    return ConfigurationError(message, code="PS102", path=path, where=where, hint=hint)
