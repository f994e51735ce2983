"""Knows every option of a mapping: its names, its type and its place in the document.

Rules: a name is the API's name in snake case, mechanically; CDK's short names are aliases; a wrong
name is refused with the nearest right one; an error calls an option what the user called it. What
values mean together (ranges, combinations) is checked once, in Rust.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal, TypedDict

from penstock import durations, filters, option_values
from penstock.durations import Duration
from penstock.errors import ConfigurationError


class MappingOptions(TypedDict, total=False):
    """The options of a mapping besides its source and function, for type checkers."""

    uuid: str
    batch_size: int
    maximum_batching_window_in_seconds: Duration
    parallelization_factor: int
    starting_position: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
    starting_position_timestamp: datetime | float | str
    maximum_retry_attempts: int
    maximum_record_age_in_seconds: Duration
    tumbling_window_in_seconds: Duration
    bisect_batch_on_function_error: bool
    function_response_types: Iterable[str]
    destination_config: dict[str, Any]
    on_failure: str | Callable[[dict[str, Any]], object]
    enabled: bool
    on_destination_failure: Literal["hold", "drop"]
    partial_state: Literal["keep", "discard"]
    backoff_base: Duration
    backoff_cap: Duration
    backoff_jitter: float
    payload_bytes_max: int
    ahead_records_max: int
    buffered_bytes_max: int
    idle_interval: Duration
    filter_criteria: str | Iterable[str | dict[str, Any]] | dict[str, Any]
    filters_max: int
    maximum_concurrency: int
    strict_groups: bool
    source_role_arn: str
    source_profile: str
    source_region: str
    source_endpoint_url: str
    destination_role_arn: str
    destination_profile: str
    destination_region: str
    destination_endpoint_url: str
    # CDK's names
    retry_attempts: int
    max_record_age: Duration
    bisect_batch_on_error: bool
    max_batching_window: Duration
    tumbling_window: Duration
    report_batch_item_failures: bool
    max_concurrency: int
    filters: str | Iterable[str | dict[str, Any]] | dict[str, Any]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: what it is called, what it may be, where it goes."""

    name: str
    path: str
    read: Callable[[object, str, str | None], Any]
    kind: str
    help: str
    write: Callable[[Any], Any] = _plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where in the user's program an option was written."""

    what: str
    file: str | None = None
    line: int = 0
    flags: bool = False
    # Written as a document of Lambda's API, whose names and sentences errors then keep.
    document: bool = False

    def __str__(self) -> str:
        return self.what if self.file is None else f"{self.what} in {self.file}:{self.line}"

    def spell(self, name: str) -> str:
        """Give an option's name as it is written at that place."""
        if self.document:
            return OPTIONS[name].path
        return "--" + name.replace("_", "-") if self.flags else name

    @classmethod
    def here(cls, what: str, depth: int) -> Origin:
        """Name the place `depth` calls above the caller."""
        frame: FrameType = sys._getframe(depth + 1)  # noqa: SLF001
        path = Path(frame.f_code.co_filename)
        file = path.name
        if path.is_absolute() and path.is_relative_to(Path.cwd()):
            file = str(path.relative_to(Path.cwd()))
        return cls(what=what, file=file, line=frame.f_lineno)


def snake(name: str) -> str:
    """Give AWS's name in snake case, mechanically."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


_INTEGER, _FLAG, _SPAN, _WORD = "integer", "flag", "duration", "text"

OPTIONS: Final[dict[str, Option]] = {
    option.name: option
    for option in (
        Option(
            name="uuid",
            path="UUID",
            read=option_values.text,
            kind=_WORD,
            help="the mapping's id; by default one that its source and function fix",
        ),
        Option(
            name="batch_size",
            path="BatchSize",
            read=option_values.integer,
            kind=_INTEGER,
            help="the most records of one invocation",
        ),
        Option(
            name="maximum_batching_window_in_seconds",
            path="MaximumBatchingWindowInSeconds",
            read=option_values.span(durations.whole_seconds),
            kind=_SPAN,
            help="the longest wait for a fuller batch",
        ),
        Option(
            name="parallelization_factor",
            path="ParallelizationFactor",
            read=option_values.integer,
            kind=_INTEGER,
            help="concurrent batches of each shard, 1 to 10",
        ),
        Option(
            name="starting_position",
            path="StartingPosition",
            kind=_WORD,
            read=option_values.one_of("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"),
            help="where a first start begins: TRIM_HORIZON, LATEST or AT_TIMESTAMP",
        ),
        Option(
            name="starting_position_timestamp",
            path="StartingPositionTimestamp",
            read=option_values.timestamp,
            kind=_WORD,
            help="the time of AT_TIMESTAMP",
        ),
        Option(
            name="maximum_retry_attempts",
            path="MaximumRetryAttempts",
            read=option_values.integer,
            kind=_INTEGER,
            help="retries of a failed batch; -1 is without end",
        ),
        Option(
            name="maximum_record_age_in_seconds",
            path="MaximumRecordAgeInSeconds",
            read=option_values.span(durations.whole_seconds),
            kind=_SPAN,
            help="the oldest record that is still handled; -1 is any age",
        ),
        Option(
            name="bisect_batch_on_function_error",
            path="BisectBatchOnFunctionError",
            read=option_values.boolean,
            kind=_FLAG,
            help="split a failed batch in two",
        ),
        Option(
            name="tumbling_window_in_seconds",
            path="TumblingWindowInSeconds",
            read=option_values.span(durations.whole_seconds),
            kind=_SPAN,
            help="the length of windows over which the handler carries state; 0 is none",
        ),
        Option(
            name="function_response_types",
            path="FunctionResponseTypes",
            read=option_values.response_types,
            kind=_WORD,
            help="ReportBatchItemFailures: the handler says which records failed",
        ),
        Option(
            name="filter_criteria",
            path="FilterCriteria",
            read=filters.read,
            write=filters.criteria,
            kind="patterns",
            help="patterns of the records that are handled; others are passed over",
        ),
        Option(
            name="on_failure",
            path="DestinationConfig.OnFailure.Destination",
            read=option_values.destination,
            kind=_WORD,
            help="where failure documents go: an ARN, sqs:NAME, sns:NAME, s3://BUCKET/PREFIX, "
            "stream:NAME, file:PATH or function:NAME",
        ),
        Option(
            name="enabled",
            path="Enabled",
            read=option_values.boolean,
            kind=_FLAG,
            help="whether the mapping runs from the start",
        ),
        Option(
            name="on_destination_failure",
            path="Penstock.OnDestinationFailure",
            kind=_WORD,
            read=option_values.one_of("hold", "drop"),
            help="when the destination fails: hold the shard, or drop as AWS does",
        ),
        Option(
            name="partial_state",
            path="Penstock.PartialState",
            kind=_WORD,
            read=option_values.one_of("keep", "discard"),
            help="of tumbling windows: whether the state beside a partial report counts",
        ),
        Option(
            name="backoff_base",
            path="Penstock.BackoffBaseMs",
            kind=_SPAN,
            read=option_values.span(durations.milliseconds),
            help="the first wait before a retry",
        ),
        Option(
            name="backoff_cap",
            path="Penstock.BackoffCapMs",
            kind=_SPAN,
            read=option_values.span(durations.milliseconds),
            help="the longest wait before a retry",
        ),
        Option(
            name="backoff_jitter",
            path="Penstock.BackoffJitter",
            read=option_values.fraction,
            kind="number",
            help="the part of a wait that chance changes, 0 to 1",
        ),
        Option(
            name="payload_bytes_max",
            path="Penstock.PayloadBytesMax",
            read=option_values.integer,
            kind=_INTEGER,
            help="the largest event, in bytes",
        ),
        Option(
            name="ahead_records_max",
            path="Penstock.AheadRecordsMax",
            read=option_values.integer,
            kind=_INTEGER,
            help="records handed out beyond the checkpoint",
        ),
        Option(
            name="buffered_bytes_max",
            path="Penstock.BufferedBytesMax",
            read=option_values.integer,
            kind=_INTEGER,
            help="bytes of records held in memory",
        ),
        Option(
            name="filters_max",
            path="Penstock.FiltersMax",
            read=option_values.integer,
            kind=_INTEGER,
            help="how many patterns are allowed, 5 to 10: Lambda's quota",
        ),
        Option(
            name="maximum_concurrency",
            path="ScalingConfig.MaximumConcurrency",
            read=option_values.integer,
            kind=_INTEGER,
            help="of a queue: how many invocations at once, 2 to 1000",
        ),
        Option(
            name="strict_groups",
            path="Penstock.StrictGroups",
            read=option_values.boolean,
            kind=_FLAG,
            help="of a FIFO queue: keep what follows a failed message in its group",
        ),
        Option(
            name="idle_interval",
            path="Penstock.IdleIntervalMs",
            kind=_SPAN,
            read=option_values.span(durations.milliseconds),
            help="the wait after an empty read",
        ),
        *(
            Option(
                name=f"{side}_{part}",
                path=f"Penstock.{side.title()}{part.title().replace('_', '')}",
                read=option_values.text,
                kind=_WORD,
                help=f"{what} for calls to the {side}",
            )
            for side in ("source", "destination")
            for part, what in (
                ("role_arn", "the role to assume"),
                ("profile", "the profile of ~/.aws/config"),
                ("region", "the region"),
                ("endpoint_url", "the endpoint"),
            )
        ),
    )
}

ALIASES: Final[dict[str, str]] = {
    "retry_attempts": "maximum_retry_attempts",
    "max_record_age": "maximum_record_age_in_seconds",
    "bisect_batch_on_error": "bisect_batch_on_function_error",
    "max_batching_window": "maximum_batching_window_in_seconds",
    "tumbling_window": "tumbling_window_in_seconds",
    "report_batch_item_failures": "function_response_types",
    "destination_config": "on_failure",
    "filters": "filter_criteria",
    "max_concurrency": "maximum_concurrency",
}

_LATER: Final = frozenset(map(snake, (
    "Queues", "Topics", "SourceAccessConfigurations", "SelfManagedEventSource", "KMSKeyArn",
    "MetricsConfig", "SelfManagedKafkaEventSourceConfig", "AmazonManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig", "ProvisionedPollerConfig", "LoggingConfig", "Tags",
))) | {"on_success"}  # fmt: skip


def resolve(given: dict[str, Any], origin: Origin) -> tuple[dict[str, Any], dict[str, str]]:
    """Check names and types; give the values by canonical name, and what each was called."""
    where = str(origin)
    values: dict[str, Any] = {}
    called: dict[str, str] = {}
    for written, value in given.items():
        name = ALIASES.get(written, written)
        if name not in OPTIONS:
            raise unknown(written, where)
        if name in values:
            raise ConfigurationError(
                f"{called[name]} and {written} are the same option",
                code="PS114",
                path=written,
                where=where,
                hint=f"keep one of them; Lambda's name is {name}",
            )
        if value is None:
            continue
        called[name] = origin.spell(written)
        values[name] = _read(name, written, called[name], value, where)
    return values, called


def unknown(written: str, where: str | None) -> ConfigurationError:
    """Refuse a name, with the nearest right one."""
    if written in _LATER or snake(written) in _LATER:
        return ConfigurationError(
            f"{written} is not supported by this version",
            code="PS115",
            path=written,
            where=where,
            hint="leave it out",
        )
    known = [*OPTIONS, *ALIASES]
    close = difflib.get_close_matches(snake(written), known, n=1, cutoff=0.6)
    return ConfigurationError(
        f"there is no option {written}",
        code="PS101",
        path=written,
        where=where,
        hint=f"did you mean {close[0]}?" if close else "options: " + ", ".join(OPTIONS),
    )


def parse_text(name: str, text: str, written: str) -> object:
    """Turn an option's text (a flag's value, an environment variable) into a value to check."""
    kind = OPTIONS[name].kind
    if kind in {_INTEGER, "number"}:
        try:
            return int(text) if kind == _INTEGER else float(text)
        except ValueError:
            raise option_values.wrong(written, text, "a number", None) from None
    if name == "function_response_types":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _read(name: str, written: str, shown: str, value: object, where: str | None) -> Any:
    if written == "report_batch_item_failures":
        return ("ReportBatchItemFailures",) if option_values.boolean(value, shown, where) else ()
    if written == "destination_config":
        value = option_values.on_failure_of(value, shown, where)
        if value is None:
            return None
        shown = "DestinationConfig.OnFailure.Destination"
    return OPTIONS[name].read(value, shown, where)
