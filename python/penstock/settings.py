"""Holds what an engine is started with, checked, and where it keeps its state."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from penstock import durations
from penstock.durations import Duration
from penstock.errors import ConfigurationError
from penstock.handlers import AIO, PROCESS, THREADS
from penstock.queues import options_document
from penstock.sources import Alias, parse_alias
from penstock.workers.children import Children

if TYPE_CHECKING:
    from penstock.tls import Tls

DEFAULT_WORKERS: Final = 16
DEFAULT_COROUTINES: Final = 128
DEFAULT_STATE: Final = ".penstock"
DEFAULT_ACCOUNT: Final = "000000000000"
DEFAULT_REGION: Final = "us-east-1"
MEMORY: Final = ":memory:"
_TOKEN_BYTES_MIN: Final = 32
_TOKEN_BYTES_MAX: Final = 512
_HOST_SIGNS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.:")
POOLS: Final = (THREADS, PROCESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the mapping API is served."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret from a file, and whether others than its owner can read that file."""

    text: str = field(repr=False)
    exposed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything of an engine that is not a mapping."""

    state: Path | None
    workers: int = DEFAULT_WORKERS
    coroutines: int = DEFAULT_COROUTINES
    pool: str = THREADS
    processes: int = 1
    children: Children = field(default_factory=Children)
    drain_timeout: float = 30.0
    streams: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lambda_environment: bool = True
    region: str | None = None
    endpoint: str | None = None
    account: str = DEFAULT_ACCOUNT
    silence: frozenset[str] = frozenset()
    manual_clock: bool = False
    seed: int | None = None
    trace: Path | None = None
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    api: Address | None = None
    api_defaults: Literal["2019", "today"] = "today"
    api_token: Secret | None = None
    api_keys: bool = False
    api_tls: Tls | None = None
    allowed_hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.api_keys and self.state is None:
            raise ConfigurationError(
                "api_keys needs a state directory, which is where keys are kept",
                code="PS103",
                path="api_keys",
                hint=f"name one with --state; {MEMORY} keeps nothing",
            )
        asked = self.api_keys or self.api_token is not None
        if self.api is None or self.api.is_loopback or asked:
            return
        raise ConfigurationError(
            f"api {self.api} could be reached from other machines, and nobody would be asked who "
            "they are",
            code="PS103",
            path="api",
            hint="ask for keys of penstock keys create by --api-keys, or for the secret in a file "
            "by --api-token; or use 127.0.0.1 and a tunnel such as ssh -L for other machines",
        )

    @property
    def chosen_account(self) -> str | None:
        """The account that was chosen; None where that of the source is meant."""
        return None if self.account == DEFAULT_ACCOUNT else self.account

    def account_of(self, source_arn: str | None) -> str:
        """Give the account of a function: the chosen one, else that of what it reads."""
        told = (source_arn or "").split(":")[4:5]
        return self.chosen_account or (told[0] if told else "") or DEFAULT_ACCOUNT

    def sizes(self) -> dict[str, int]:
        """Give how many invocations each kind of pool runs at once."""
        return {THREADS: self.workers, AIO: self.coroutines, PROCESS: self.processes}

    def runtime_document(self, pools: Mapping[str, int], log_level: str) -> dict[str, Any]:
        """Give the document that starts the runtime."""
        return {
            "state_dir": None if self.state is None else str(self.state),
            "clock": "manual" if self.manual_clock else "system",
            "seed": self.seed,
            "workers": dict(pools),
            "buffered_bytes_max": None,
            "trace_dir": None if self.trace is None else str(self.trace),
            "log_capacity": None,
            "log_level": log_level,
            "stream_retention_s": None,
            "stream_bytes_max": None,
            "queue_bytes_max": None,
        }


def make_settings(
    *,
    state: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    coroutines: int = DEFAULT_COROUTINES,
    pool: str = THREADS,
    children: Children | None = None,
    drain_timeout: Duration = 30,
    streams: Mapping[str, int] | None = None,
    queues: Mapping[str, Mapping[str, Any]] | None = None,
    lambda_environment: bool = True,
    region: str | None = None,
    endpoint: str | None = None,
    account: str = DEFAULT_ACCOUNT,
    silence: Iterable[str] = (),
    trace: str | os.PathLike[str] | None = None,
    aliases: Mapping[str, Mapping[str, str]] | None = None,
    api: str | int | None = None,
    api_defaults: str | int = "today",
    api_token: str | os.PathLike[str] | None = None,
    api_keys: bool = False,
    api_tls_cert: str | os.PathLike[str] | None = None,
    api_tls_key: str | os.PathLike[str] | None = None,
    allowed_hosts: Iterable[str] = (),
    where: str | None = None,
) -> Settings:
    """Check what the user wrote."""
    if workers is not None:
        _whole(workers, "workers", 1, 1024, where)
    if pool not in POOLS:
        raise _wrong("pool", pool, " or ".join(map(repr, POOLS)), where)
    if not isinstance(children, Children | None):
        raise _wrong("children", children, "a penstock.Children", where)
    _whole(coroutines, "coroutines", 1, 65_536, where)
    for name, shards in (streams or {}).items():
        _whole(shards, f"streams[{name!r}]", 1, 10_000, where)
    for options in (queues or {}).values():
        options_document(options, where=where)
    if not (isinstance(account, str) and len(account) == 12 and account.isdigit()):
        raise _wrong("account", account, "the 12 digits of an AWS account", where)
    if isinstance(silence, str):
        raise _wrong("silence", silence, 'codes of warnings, such as ["PS801"]', where)
    return Settings(
        state=state_directory(state),
        workers=workers or DEFAULT_WORKERS,
        coroutines=coroutines,
        pool=pool,
        processes=workers or os.cpu_count() or 1,
        children=children or Children(),
        drain_timeout=durations.seconds(drain_timeout, option="drain_timeout", where=where),
        streams=dict(streams or {}),
        queues=dict(queues or {}),
        lambda_environment=lambda_environment,
        region=region,
        endpoint=endpoint,
        account=account,
        silence=frozenset(silence),
        trace=None if trace is None else Path(trace),
        aliases=parse_aliases(aliases or {}, where),
        api=None if api is None else parse_address(api, where=where),
        api_defaults=parse_defaults(api_defaults, where=where),
        api_token=None if api_token is None else read_token(api_token, where=where),
        api_keys=bool(api_keys),
        api_tls=parse_tls(api_tls_cert, api_tls_key, where=where),
        allowed_hosts=parse_hosts(allowed_hosts, where=where),
    )


def parse_address(text: str | int, *, option: str = "api", where: str | None = None) -> Address:
    """Understand [HOST:]PORT."""
    host, _, port = str(text).rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise _wrong(option, text, "a port, or HOST:PORT", where)
    return Address(host=host, port=int(port))


def read_token(
    path: str | os.PathLike[str], *, option: str = "api_token", where: str | None = None
) -> Secret:
    """Read the secret that requests carry from its file, whose text no message shows."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(_TOKEN_BYTES_MAX + 2).strip()
            exposed = bool(os.fstat(file.fileno()).st_mode & 0o077)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no path"
        # The path is not shown: people put the secret in its place.
        raise ConfigurationError(
            f"{option} names no file that can be read: {reason}",
            code="PS102",
            path=option,
            where=where,
            hint="name a file that holds the secret, and that only you can read",
        ) from None
    graphic = all(33 <= byte <= 126 for byte in text)
    if not (graphic and _TOKEN_BYTES_MIN <= len(text) <= _TOKEN_BYTES_MAX):
        raise ConfigurationError(
            f"the file that {option} names does not hold one secret of {_TOKEN_BYTES_MIN} to "
            f"{_TOKEN_BYTES_MAX} letters, digits and signs",
            code="PS102",
            path=option,
            where=where,
            hint="make one with: openssl rand -hex 32",
        )
    return Secret(text=text.decode("ascii"), exposed=exposed)


def parse_tls(
    certificate: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
    *,
    options: tuple[str, str] = ("api_tls_cert", "api_tls_key"),
    where: str | None = None,
) -> Tls | None:
    """Understand the files that TLS is made of, if there are any."""
    if certificate is None and key is None:
        return None
    if certificate is None:
        raise ConfigurationError(
            f"{options[1]} needs the certificate that the key is of",
            code="PS103",
            path=options[1],
            where=where,
            hint=f"name its file with {options[0]}",
        )
    from penstock.tls import read_tls  # here, since most have no use for it

    return read_tls(certificate, key, options=options, where=where)


def parse_hosts(
    hosts: Iterable[str], *, option: str = "allowed_hosts", where: str | None = None
) -> frozenset[str]:
    """Understand names that requests may call this machine by, without ports."""
    if isinstance(hosts, str):
        raise _wrong(option, hosts, 'a list of names, such as ["penstock.internal"]', where)
    found = set()
    for host in hosts:
        name = host.removeprefix("[").removesuffix("]").lower()
        if not name or not set(name) <= _HOST_SIGNS or (":" in name and not _is_address(name)):
            raise _wrong(option, host, "the name of a host, without a port or wildcard", where)
        found.add(name)
    return frozenset(found)


def parse_aliases(aliases: Mapping[str, Mapping[str, str]], where: str | None) -> dict[str, Alias]:
    """Understand aliases of sources: for each ARN what is read instead, and from where."""
    found = {}
    for arn, told in aliases.items():
        if not isinstance(told, Mapping) or not {"source"} <= set(told) <= {"source", "endpoint"}:
            wanted = 'such as {"source": "dynamodb:orders", "endpoint": "http://127.0.0.1:8000"}'
            raise _wrong(f"aliases[{arn!r}]", told, wanted, where)
        found[arn] = parse_alias(arn, told["source"], told.get("endpoint"), where=where)
    return found


def parse_defaults(
    text: str | int, *, option: str = "api_defaults", where: str | None = None
) -> Literal["2019", "today"]:
    """Understand of which year the defaults are."""
    if str(text) == "2019":
        return "2019"
    if text == "today":
        return "today"
    raise _wrong(option, text, '"today" or "2019"', where)


def state_directory(state: str | os.PathLike[str] | None) -> Path | None:
    """Give the state directory: what was asked for, else the environment's, else the default."""
    chosen = os.fspath(state) if state is not None else os.environ.get("PENSTOCK_STATE")
    if chosen == MEMORY:
        return None
    return Path(chosen or DEFAULT_STATE).absolute()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _whole(value: object, option: str, least: int, most: int, where: str | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(option, value, f"a whole number from {least} to {most}", where)


def _wrong(option: str, value: object, wanted: str, where: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"{option} must be {wanted}, not {value!r}", code="PS102", path=option, where=where
    )
