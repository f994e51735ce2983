"""Reads the names of sources and destinations: short URIs and ARNs.

Rules: an embedded stream or queue has one ARN and one short name, and both mean the same mapping; a
kind that this version cannot read is refused by name, with what it can read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from penstock.errors import ConfigurationError

_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_ARN: Final = re.compile(r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9-]+):([a-z0-9-]*):(\d{12})?:(.+)")
_TABLE: Final = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_TABLE_STREAM: Final = re.compile(r"table/([a-zA-Z0-9_.-]{1,255})/stream/[^/]+")
_QUEUE: Final = re.compile(r"(?=.{1,80}$)[a-zA-Z0-9_-]+(\.fifo)?")
# A queue's URL, and the hosts of AWS that tell the queue's region.
_QUEUE_URL: Final = re.compile(r"(https?://[^/?#\s]+)/(?:queue/)?(\d{12})/([^/?#\s]+)")
_AWS_QUEUES: Final = re.compile(
    r"https://(?:sqs(?:-fips)?\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)"
    r"\.(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|api\.aws)"
)
_CAN_READ: Final = (
    "this version reads stream:NAME and queue:NAME (embedded), kinesis:NAME, dynamodb:TABLE, "
    "sqs:NAME, URLs of SQS queues, and the ARNs of Kinesis streams, of tables' streams and of SQS "
    "queues"
)
_CAN_SERVE: Final = (
    "this version delivers to queues, topics and buckets (an ARN, sqs:NAME, sns:NAME, "
    "s3://BUCKET/PREFIX), stream:NAME and queue:NAME (embedded), file:PATH and functions"
)
_AWS_DESTINATIONS: Final = ("sqs", "sns", "s3")
_LATER: Final = {
    "sns": "SNS topics",
    "s3": "S3 buckets",
    "kafka": "Kafka topics",
    "mq": "Amazon MQ brokers",
    "rds": "DocumentDB clusters",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where records or messages come from."""

    kind: Literal["stream", "queue", "kinesis", "dynamodb", "sqs"]
    name: str
    arn: str | None
    region: str | None
    # Of a queue that was named by its URL: that, and where it is when that is not AWS's own place.
    url: str | None = None
    endpoint: str | None = None

    @property
    def uri(self) -> str:
        """The short name."""
        return f"{self.kind}:{self.name}"

    @property
    def embedded(self) -> bool:
        """Whether it is kept in the state directory."""
        return self.kind in {"stream", "queue"}

    @property
    def is_queue(self) -> bool:
        """Whether it hands messages out, where a stream keeps positions."""
        return self.kind in {"queue", "sqs"}

    @property
    def identity(self) -> str:
        """What tells this source from others: the ARN if one was written, else the short name."""
        return self.arn if self.arn is not None and not self.embedded else self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """What is read in place of a source that is named: another one, perhaps of another endpoint."""

    source: Source
    endpoint: str | None = None


def parse_alias(arn: str, source: object, endpoint: object, *, where: str | None = None) -> Alias:
    """Understand an alias: the source that is read instead, and its endpoint."""
    named = parse_source(arn, where=where)
    meant = parse_source(source, where=where)
    if {named.kind, meant.kind} != {named.kind} or meant.embedded:
        raise ConfigurationError(
            f"{arn} cannot be read from {meant.uri}",
            code="PS104",
            path="aliases",
            where=where,
            hint="an alias and what it stands for are of one kind, and not embedded",
        )
    if endpoint is not None and not (
        isinstance(endpoint, str) and re.fullmatch(r"https?://[^/\s?#]+/?", endpoint)
    ):
        raise ConfigurationError(
            f"{endpoint!r} is not the URL of an endpoint",
            code="PS102",
            path="aliases",
            where=where,
            hint="write for example http://127.0.0.1:8000",
        )
    return Alias(source=meant, endpoint=endpoint)


def parse_source(text: object, *, where: str | None = None) -> Source:
    """Understand a short name such as `queue:NAME`, an ARN, or the URL of a queue."""
    if not isinstance(text, str):
        raise ConfigurationError(
            f"source must be text, not {type(text).__name__}",
            code="PS102",
            path="source",
            where=where,
            hint='write for example "stream:orders" or "kinesis:orders"',
        )
    if text.startswith("arn:"):
        return _parse_arn(text, where)
    kind, colon, name = text.partition(":")
    if colon and kind == "stream":
        _check_name(text, name, where)
        return Source(kind="stream", name=name, arn=embedded_arn(name), region=None)
    if colon and kind == "queue":
        return _embedded_queue(text, name, where)
    if colon and kind == "kinesis":
        _check_name(text, name, where)
        return Source(kind="kinesis", name=name, arn=None, region=None)
    if colon and kind == "dynamodb":
        if not _TABLE.fullmatch(name):
            raise ConfigurationError(
                f"source {text!r} has no usable table name",
                code="PS104",
                path="source",
                where=where,
                hint="a table's name is 3 to 255 letters, digits, dots, hyphens and underscores",
            )
        return Source(kind="dynamodb", name=name, arn=None, region=None)
    if colon and kind == "sqs":
        _check_queue(text, name, where)
        return Source(kind="sqs", name=name, arn=None, region=None)
    if colon and kind in {"http", "https"}:
        return _parse_url(text, where)
    if colon and kind in _LATER:
        raise _unsupported(text, kind, where)
    raise ConfigurationError(
        f"source {text!r} is not a source",
        code="PS104",
        path="source",
        where=where,
        hint='write for example "stream:orders", "queue:orders", "sqs:orders" or an ARN',
    )


def parse_destination(text: object, *, option: str, where: str | None = None) -> str:
    """Check a destination and give its canonical form."""
    if not isinstance(text, str):
        raise ConfigurationError(
            f"{option} must be text, not {type(text).__name__}",
            code="PS102",
            path=option,
            where=where,
            hint=_CAN_SERVE,
        )
    kind, _, rest = text.partition(":")
    if kind == "arn":
        match = _ARN.fullmatch(text)
        if match is not None and match[2] == "penstock" and match[5].startswith("stream/"):
            kind, rest = "stream", match[5].removeprefix("stream/")
        elif match is not None and match[2] == "penstock" and match[5].startswith("queue/"):
            kind, rest = "queue", match[5].removeprefix("queue/")
        elif match is not None and match[2] in _AWS_DESTINATIONS:
            return text
    if kind == "stream" and _NAME.fullmatch(rest):
        return f"stream:{rest}"
    if kind == "queue" and _QUEUE.fullmatch(rest):
        return f"queue:{rest}"
    if kind in {"file", "function", "sqs", "sns"} and rest:
        return text
    if kind == "s3" and rest.startswith("//"):
        return text
    raise ConfigurationError(
        f"{option} {text!r} cannot be served",
        code="PS106",
        path=option,
        where=where,
        hint=_CAN_SERVE,
    )


def destination_arn(text: str, *, where: str | None = None) -> str:
    """Give a destination as Lambda's API names it."""
    if text.startswith("stream:"):
        return embedded_arn(text.removeprefix("stream:"))
    if text.startswith("arn:"):
        return text
    raise ConfigurationError(
        f"the destination {text} has no ARN",
        code="PS106",
        path="on_failure",
        where=where,
        hint="use stream:NAME, or leave it out, for use with Lambda's API",
    )


def embedded_arn(name: str) -> str:
    """Give the ARN of an embedded stream, of a form that AWS's own patterns accept."""
    return f"arn:aws:penstock:::stream/{name}"


def _embedded_queue(text: str, name: str, where: str | None) -> Source:
    _check_queue(text, name, where)
    return Source(kind="queue", name=name, arn=f"arn:aws:penstock:::queue/{name}", region=None)


def _parse_arn(text: str, where: str | None) -> Source:
    match = _ARN.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"source {text!r} is not a complete ARN",
            code="PS104",
            path="source",
            where=where,
            hint="a Kinesis stream's is arn:aws:kinesis:REGION:ACCOUNT:stream/NAME",
        )
    service, region, resource = match[2], match[3], match[5]
    kind, _, name = resource.partition("/")
    if service == "penstock" and kind == "stream":
        _check_name(text, name, where)
        return Source(kind="stream", name=name, arn=embedded_arn(name), region=None)
    if service == "penstock" and kind == "queue":
        return _embedded_queue(text, name, where)
    if service == "kinesis" and kind == "stream" and "/" not in name and region and match[4]:
        _check_name(text, name, where)
        return Source(kind="kinesis", name=name, arn=text, region=region)
    if service == "dynamodb" and kind == "table" and region and match[4]:
        table = _TABLE_STREAM.fullmatch(resource)
        if table is None:
            raise ConfigurationError(
                f"source {text!r} names a table and not its stream",
                code="PS104",
                path="source",
                where=where,
                hint=f"write dynamodb:{name.partition('/')[0]} for its latest stream, or the "
                "stream's ARN, which ends with /stream/LABEL",
            )
        return Source(kind="dynamodb", name=table[1], arn=text, region=region)
    if service == "sqs" and region and match[4]:
        _check_queue(text, resource, where)
        return Source(kind="sqs", name=resource, arn=text, region=region)
    raise _unsupported(text, service, where)


def _parse_url(text: str, where: str | None) -> Source:
    match = _QUEUE_URL.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"source {text!r} is not a queue's URL",
            code="PS104",
            path="source",
            where=where,
            hint="a queue's is https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
        )
    origin, account, name = match.groups()
    _check_queue(text, name, where)
    of_aws = _AWS_QUEUES.fullmatch(origin)
    if of_aws is None:
        return Source(kind="sqs", name=name, arn=None, region=None, url=text, endpoint=origin)
    region = of_aws[1] or of_aws[2]
    arn = f"arn:{_partition(region)}:sqs:{region}:{account}:{name}"
    return Source(kind="sqs", name=name, arn=arn, region=region, url=text)


def _partition(region: str) -> str:
    """Give the partition of a region, as ARNs name it."""
    for head, partition in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("eusc-", "aws-eusc")):
        if region.startswith(head):
            return partition
    return "aws"


def _check_queue(text: str, name: str, where: str | None) -> None:
    if not _QUEUE.fullmatch(name):
        raise ConfigurationError(
            f"source {text!r} has no usable queue name",
            code="PS104",
            path="source",
            where=where,
            hint="a queue's name is 1 to 80 letters, digits, hyphens and underscores; that of a "
            "FIFO queue ends with .fifo",
        )


def _check_name(text: str, name: str, where: str | None) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"source {text!r} has no usable stream name",
            code="PS104",
            path="source",
            where=where,
            hint="a stream's name is 1 to 128 letters, digits, dots, hyphens and underscores",
        )


def _unsupported(text: str, kind: str, where: str | None) -> ConfigurationError:
    what = "enhanced fan-out consumers" if "/consumer/" in text else _LATER.get(kind, f"{kind!r}")
    return ConfigurationError(
        f"source {text!r} cannot be read: {what} are not supported by this version",
        code="PS105",
        path="source",
        where=where,
        hint=_CAN_READ,
    )
