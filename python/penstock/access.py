"""Resolves region, endpoint and credentials of sources, as boto3 users have configured them.

Rules: botocore decides, penstock asks; credentials are pushed into the runtime and pushed again
before they expire; an access errand is answered at once, and when the same keys come back a new
session reads them afresh; every way to fail has its own sentence and what to do about it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from penstock import sqs
from penstock.access_errors import explained
from penstock.errors import SourceError
from penstock.identities import CONNECT_SECONDS, READ_SECONDS, Identity, client_config
from penstock.sources import Alias, Source

if TYPE_CHECKING:
    from penstock._bridge import Runtime

log = logging.getLogger("penstock.access")

_LOOK_SECONDS: Final = 20.0
_PAGES_MAX: Final = 10
_NOBODY_IN_PARTICULAR: Final = Identity()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A source as AWS knows it, and the name of its access."""

    arn: str
    region: str
    access: str
    open_shards: int | None
    # The stream that is read when the source is an alias of it.
    stream_arn: str | None = None
    # How long a queue hides what was received.
    visibility_s: int | None = None


@dataclass(slots=True, kw_only=True)
class _Entry:
    name: str
    service: str
    region: str
    where: str | None
    identity: Identity
    session: Any
    pushed: tuple[Any, ...] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Access:
    """Everything that sources of AWS need besides requests."""

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint: str | None = None,
        aliases: Mapping[str, Alias] | None = None,
        new_session: Callable[[], Any] | None = None,
    ) -> None:
        self._region = region
        self._endpoint = endpoint
        self._new_session = new_session or _botocore_session
        self._aliases = aliases or {}
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._runtime: Runtime | None = None
        self._look_at = 0.0

    def region_or_none(self) -> str | None:
        """Give the configured region without asking AWS anything."""
        return self._region

    @property
    def endpoint(self) -> str | None:
        """The endpoint of everything that has none of its own; else botocore finds them."""
        return self._endpoint

    def session(self, identity: Identity) -> Any:
        """Make botocore's session of an identity."""
        return identity.session(self._new_session, self._endpoint)

    def resolve(
        self, source: Source, *, where: str | None, identity: Identity = _NOBODY_IN_PARTICULAR
    ) -> Resolved:
        """Find the stream, and keep what reading it needs."""
        alias = self._aliases.get(source.arn or "")
        if alias is not None:
            elsewhere = replace(identity, endpoint_url=alias.endpoint or identity.endpoint_url)
            found = self._resolve(alias.source, where, elsewhere)
            region = source.region or found.region
            return replace(found, arn=str(source.arn), region=region, stream_arn=found.arn)
        return self._resolve(source, where, identity)

    def _resolve(self, source: Source, where: str | None, identity: Identity) -> Resolved:
        entry = self._entry(source, where, identity)
        with explained(source.uri, where, entry.region, identity.role_arn):
            client = self._client(entry)
            if entry.session.get_credentials() is None:
                raise _no_credentials(source.uri, where)
            shards, visibility_s = None, None
            if source.kind == "dynamodb":
                arn = source.arn or self._latest_stream(entry, source, where)
                shards = _open_shards(client, arn)
            elif source.kind == "sqs":
                queue = sqs.describe(client, sqs.url(client, source))
                arn, visibility_s = source.arn or queue.arn, queue.visibility_s
            else:
                summary = _describe(client, source.name)
                arn = source.arn or str(summary["StreamARN"])
                shards = summary.get("OpenShardCount")
        if self._runtime is not None and entry.pushed is None:
            self._push(entry)
        return Resolved(
            arn=arn, region=entry.region, access=entry.name, open_shards=shards,
            visibility_s=visibility_s,
        )  # fmt: skip

    def client(
        self, source: Source, *, where: str | None, identity: Identity = _NOBODY_IN_PARTICULAR
    ) -> tuple[Any, str]:
        """Give botocore's client that reads a source, and how its credentials were found."""
        entry = self._entry(source, where, identity)
        with explained(source.uri, where, entry.region, identity.role_arn):
            credentials = entry.session.get_credentials()
            if credentials is None:
                raise _no_credentials(source.uri, where)
            return self._client(entry), str(credentials.method)

    def attach(self, runtime: Runtime) -> None:
        """Push everything into the runtime, now and whenever it changes."""
        self._runtime = runtime
        for entry in list(self._entries.values()):
            self._push(entry)

    def renew(self, name: str) -> None:
        """Answer an errand: look again now, afresh if the same keys come back."""
        entry = self._entries.get(name)
        if entry is None:
            raise SourceError(f"no source uses the access {name!r}", code="PS202")
        if not self._push(entry):
            entry.session = self.session(entry.identity)
            self._push(entry, always=True)

    def renew_due(self) -> None:
        """Push what botocore has refreshed; it does so 15 minutes ahead, when asked."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_SECONDS
        for entry in list(self._entries.values()):
            try:
                self._push(entry)
            except SourceError as error:
                log.warning("access could not be renewed: %s", error)

    def _entry(self, source: Source, where: str | None, identity: Identity) -> _Entry:
        if source.endpoint is not None:
            endpoint = identity.endpoint_url or source.endpoint
            identity = replace(identity, endpoint_url=endpoint)
        plain = replace(identity, role_arn=None)
        with explained(source.uri, where, ""):
            session = self.session(plain)
            region = source.region or identity.region or self._region
            region = region or session.get_config_variable("region")
        if not region:
            raise SourceError(
                f"no region is configured for {source.uri}",
                code="PS201",
                source=source.uri,
                where=where,
                hint="set AWS_REGION, or region in ~/.aws/config, or write the source as an ARN",
            )
        service = "dynamodbstreams" if source.kind == "dynamodb" else source.kind
        name = f"{service}/{region} {identity}".rstrip()
        identity = identity.within(region)
        made = _Entry(
            name=name, service=service, region=region, where=where, identity=identity,
            session=self.session(identity) if identity.role_arn else session,
        )  # fmt: skip
        with self._lock:
            return self._entries.setdefault(name, made)

    def _latest_stream(self, entry: _Entry, source: Source, where: str | None) -> str:
        """Ask the table which stream it has now."""
        table = self._client(entry, "dynamodb").describe_table(TableName=source.name)["Table"]
        arn = table.get("LatestStreamArn")
        if arn:
            return str(arn)
        raise SourceError(
            f"the table {source.name} has no stream",
            code="PS203",
            source=source.uri,
            where=where,
            hint="enable it: aws dynamodb update-table --table-name "
            f"{source.name} --stream-specification "
            "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES",
        )

    def _client(self, entry: _Entry, service: str | None = None) -> Any:
        return entry.session.create_client(
            service or entry.service,
            region_name=entry.region,
            endpoint_url=entry.identity.endpoint_url or self._endpoint,
            config=client_config(attempts=2),
        )

    def _push(self, entry: _Entry, *, always: bool = False) -> bool:
        """Push an entry if its keys changed; whether they had."""
        role = entry.identity.role_arn
        with entry.lock, explained(entry.name, entry.where, entry.region, role):
            credentials = entry.session.get_credentials()
            if credentials is None:
                raise _no_credentials(entry.name, entry.where)
            frozen = credentials.get_frozen_credentials()
            keys = (frozen.access_key, frozen.secret_key, frozen.token)
            if keys == entry.pushed and not always:
                return False
            endpoint = str(self._client(entry).meta.endpoint_url)
            document = {
                "access": entry.name,
                "region": entry.region,
                "endpoint": endpoint,
                "access_key_id": keys[0],
                "secret_access_key": keys[1],
                "session_token": keys[2],
                "expires_at": _expiry(credentials),
                "ca_bundle": _ca_bundle(entry.session),
                "proxy": _proxy(endpoint),
                "connect_timeout_s": CONNECT_SECONDS,
                "read_timeout_s": READ_SECONDS,
            }
            if self._runtime is not None:
                self._runtime.push_access(json.dumps(document).encode())
            entry.pushed = keys
            return True


def with_arn(source: Source, resolved: Resolved) -> Source:
    """Give the source with what resolving it has told."""
    return replace(source, arn=resolved.arn, region=resolved.region)


def _botocore_session() -> Any:
    import botocore.session

    return botocore.session.Session()


def _describe(client: Any, name: str) -> dict[str, Any]:
    """Describe a stream; some imitations of Kinesis know only the older operation."""
    from botocore.exceptions import ClientError

    try:
        answer = client.describe_stream_summary(StreamName=name)
        return dict(answer["StreamDescriptionSummary"])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in {
            "UnknownOperationException", "UnknownOperation", "InvalidAction", "501",
        }:  # fmt: skip
            raise
    description = client.describe_stream(StreamName=name)["StreamDescription"]
    return {"StreamARN": description["StreamARN"]}


def _open_shards(client: Any, arn: str) -> int | None:
    """Count the shards that take records; `None` when there are more than a few pages of them."""
    count = 0
    after: dict[str, str] = {}
    for _ in range(_PAGES_MAX):
        page = client.describe_stream(StreamArn=arn, **after)["StreamDescription"]
        ranges = [shard["SequenceNumberRange"] for shard in page.get("Shards", ())]
        count += sum("EndingSequenceNumber" not in each for each in ranges)
        last = page.get("LastEvaluatedShardId")
        if not last:
            return count
        after = {"ExclusiveStartShardId": last}
    return None


def _no_credentials(source: str, where: str | None) -> SourceError:
    return SourceError(
        f"no credentials are configured for {source}",
        code="PS202",
        source=source,
        where=where,
        hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID with its secret, or run aws configure",
    )


def _expiry(credentials: Any) -> float | None:
    expiry = getattr(credentials, "_expiry_time", None)  # botocore shows it nowhere else
    return None if expiry is None else float(expiry.timestamp())


def _ca_bundle(session: Any) -> str | None:
    import os

    found = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return str(found) if found else None


def _proxy(endpoint: str) -> str | None:
    from botocore.utils import get_environ_proxies

    proxy = get_environ_proxies(endpoint).get(urlsplit(endpoint).scheme)
    return str(proxy) if proxy else None
