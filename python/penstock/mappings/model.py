"""Holds one event source mapping, as a frozen value, and translates it to and from documents.

Rules: a field that was not given stays out of the document, so that defaults have one home, in
Rust; the id of a mapping follows from its source and function, so that a restart finds its
checkpoints; what the user called an option is kept for messages.
"""

from __future__ import annotations

import copy
import json
import time
import uuid as uuids
from collections.abc import Callable
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, Self, Unpack

from penstock import keepers
from penstock.errors import ConfigurationError
from penstock.keepers import Keeper
from penstock.options import OPTIONS, MappingOptions, Option, Origin, parse_text, resolve, unknown
from penstock.sources import Source, destination_arn, parse_source

_NAMESPACE: Final = uuids.UUID("0d5cb3f8-6b0d-5d6e-9b59-0a5d5b8c7a10")
_STREAM_START: Final = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
# What Lambda's answers carry besides the options, and what they say when an option is not set.
_ANSWERED: Final = frozenset({
    "EventSourceMappingArn", "FunctionArn", "LastModified", "LastProcessingResult", "State",
    "StateTransitionReason", "ResponseMetadata",
})  # fmt: skip
_UNSET: Final[tuple[Any, ...]] = (None, [], {}, "")


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Mapping:
    """One event source mapping: a source, a function, and the rules between them."""

    source: str
    function: Callable[..., Any] | str
    uuid: str | None = None
    batch_size: int | None = None
    maximum_batching_window_in_seconds: int | None = None
    parallelization_factor: int | None = None
    starting_position: str | None = None
    starting_position_timestamp: float | None = None
    maximum_retry_attempts: int | None = None
    maximum_record_age_in_seconds: int | None = None
    tumbling_window_in_seconds: int | None = None
    bisect_batch_on_function_error: bool | None = None
    function_response_types: tuple[str, ...] | None = None
    on_failure: str | None = None
    enabled: bool | None = None
    on_destination_failure: str | None = None
    partial_state: str | None = None
    backoff_base: int | None = None
    backoff_cap: int | None = None
    backoff_jitter: float | None = None
    payload_bytes_max: int | None = None
    ahead_records_max: int | None = None
    buffered_bytes_max: int | None = None
    idle_interval: int | None = None
    filter_criteria: tuple[str, ...] | None = None
    filters_max: int | None = None
    maximum_concurrency: int | None = None
    strict_groups: bool | None = None
    source_role_arn: str | None = None
    source_profile: str | None = None
    source_region: str | None = None
    source_endpoint_url: str | None = None
    destination_role_arn: str | None = None
    destination_profile: str | None = None
    destination_region: str | None = None
    destination_endpoint_url: str | None = None
    keeper: Keeper | None = field(compare=False, repr=False)
    origin: Origin = field(compare=False, repr=False)
    called: MappingABC[str, str] = field(compare=False, repr=False)
    parsed: Source = field(compare=False, repr=False)

    def __init__(
        self,
        source: str,
        function: Callable[..., Any] | str,
        *,
        origin: Origin | None = None,
        **options: Unpack[MappingOptions],
    ) -> None:
        origin = origin or Origin.here(f"Mapping({source!r})", 1)
        given, keeper = keepers.taken_from(dict(options), str(origin))
        values, called = resolve(given, origin)
        parsed = parse_source(source, where=str(origin))
        if not parsed.is_queue:
            _check_start(values, origin)
        _check_uuid(values.get("uuid"), str(origin))
        for each in fields(self):
            object.__setattr__(self, each.name, values.get(each.name, None))
        kept: dict[str, Any] = {"source": source, "function": function, "origin": origin}
        kept |= {"called": called, "parsed": parsed, "keeper": keeper}
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    def id_for(self, function_name: str) -> str:
        """Give the mapping's id: the one that was asked for, or what source and function fix."""
        if self.uuid is not None:
            return self.uuid
        return str(uuids.uuid5(_NAMESPACE, f"{self.parsed.identity}\n{function_name}"))

    def with_id_of(self, other: Self) -> Self:
        """Give this mapping under the id that was asked for the other, if it has none itself."""
        if self.uuid is not None or other.uuid is None:
            return self
        same = copy.copy(self)
        object.__setattr__(same, "uuid", other.uuid)
        return same

    def options_document(self) -> dict[str, Any]:
        """Give the options that were set, in the document's shape."""
        document: dict[str, Any] = {}
        for option in OPTIONS.values():
            value = getattr(self, option.name)
            if value is not None:
                _put(document, option.path, option.write(value))
        return document

    def to_api(self) -> dict[str, Any]:
        """Give what boto3's `create_event_source_mapping(**…)` takes.

        What only penstock knows is left out, the id too: Lambda chooses its own.
        """
        if self.parsed.arn is None:
            raise ConfigurationError(
                f"{self.source} has no ARN yet",
                code="PS104",
                path="source",
                where=str(self.origin),
                hint="write the source as an ARN for use with Lambda's API",
            )
        name = self.function if isinstance(self.function, str) else self.function.__name__
        request: dict[str, Any] = {"EventSourceArn": self.parsed.arn, "FunctionName": name}
        options = self.options_document()
        request |= {key: options[key] for key in options if key not in {"UUID", "Penstock"}}
        if self.on_failure is not None:
            destination = destination_arn(self.on_failure, where=str(self.origin))
            request["DestinationConfig"] = {"OnFailure": {"Destination": destination}}
        if self.starting_position_timestamp is not None:
            moment = datetime.fromtimestamp(self.starting_position_timestamp, UTC)
            request["StartingPositionTimestamp"] = moment
        return request

    @classmethod
    def from_api(cls, response: MappingABC[str, Any], *, origin: Origin | None = None) -> Self:
        """Understand Lambda's answer about a mapping, or a request that would create it."""
        by_path = {option.path: option for option in OPTIONS.values()}
        options: dict[str, Any] = {}
        for key, value in response.items():
            if key in {"EventSourceArn", "FunctionName", "FunctionArn"} or value in _UNSET:
                continue
            if key == "DestinationConfig":
                _take_destination(options, value)
            elif key == "ScalingConfig":
                options["maximum_concurrency"] = value.get("MaximumConcurrency")
            elif key == "State":
                options["enabled"] = value not in {"Disabled", "Disabling"}
            elif key in by_path:
                options[by_path[key].name] = value
            elif key not in _ANSWERED and value != 0:
                raise unknown(key, None)
        for required in ("EventSourceArn",):
            if required not in response:
                raise ConfigurationError(
                    f"{required} is missing", code="PS113", path=required,
                    hint="pass what get_event_source_mapping or a list item gives",
                )  # fmt: skip
        function = response.get("FunctionArn") or response.get("FunctionName")
        if not isinstance(function, str):
            raise ConfigurationError("FunctionName is missing", code="PS113", path="FunctionName")
        return cls(
            response["EventSourceArn"],
            _function_name(function),
            origin=origin or Origin.here("Mapping.from_api(…)", 1),
            **options,
        )

    @classmethod
    def from_texts(
        cls,
        source: str,
        function: Callable[..., Any] | str,
        origin: Origin,
        texts: MappingABC[str, tuple[str, str]],
        flags: MappingABC[str, bool],
    ) -> Self:
        """Make one of options given as text: for each its name, how it was written, its value."""
        options: dict[str, Any] = dict(flags)
        for name, (written, text) in texts.items():
            options[name] = parse_text(name, text, written)
        return cls(source, function, origin=origin, **options)

    def blame(self, error: ConfigurationError) -> ConfigurationError:
        """Tell a document's error in the user's words: the option as written, and where."""
        if self.origin.document:
            return error
        option = _option_at(error.path)
        if option is None:
            name, message = error.path, error.message
        else:
            name = self.called.get(option.name) or self.origin.spell(option.name)
            message = error.message.replace(option.path, name)
            if name not in message:
                message = f"{name}: {message}"
        code = error.code if error.code != "PS100" else "PS103"
        return ConfigurationError(
            message, code=code, path=name, hint=error.hint, where=str(self.origin)
        )


EventSourceMapping = Mapping


def document_bytes(document: MappingABC[str, Any]) -> bytes:
    """Write a document as it crosses the boundary."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _put(document: dict[str, Any], path: str, value: object) -> None:
    *above, last = path.split(".")
    for key in above:
        document = document.setdefault(key, {})
    document[last] = value


def _option_at(path: str | None) -> Option | None:
    for option in OPTIONS.values():
        if path is not None and (option.path == path or path.startswith(option.path + ".")):
            return option
        if path is not None and option.path.startswith(path + ".") and path != "Penstock":
            return option
    return None


def _check_start(values: dict[str, Any], origin: Origin) -> None:
    where = str(origin)
    position = origin.spell("starting_position")
    timestamp = origin.spell("starting_position_timestamp")
    start = values.get("starting_position")
    if start is None:
        raise ConfigurationError(
            f"{position} is missing",
            code="PS113",
            path=position,
            where=where,
            hint="choose " + ", ".join(_STREAM_START) + "; Lambda has no default either",
        )
    if (start == "AT_TIMESTAMP") != ("starting_position_timestamp" in values):
        raise ConfigurationError(
            f"{position} AT_TIMESTAMP and {timestamp} need each other",
            code="PS113",
            path=timestamp,
            where=where,
            hint="give both or neither",
        )
    moment = values.get("starting_position_timestamp")
    if moment is not None and moment > time.time():
        raise ConfigurationError(
            f"{timestamp} lies in the future",
            code="PS102",
            path=timestamp,
            where=where,
            hint="give a time that has passed, or use LATEST",
        )


def _check_uuid(text: str | None, where: str) -> None:
    if text is None:
        return
    try:
        canonical = str(uuids.UUID(text)) == text
    except ValueError:
        canonical = False
    if not canonical:
        raise ConfigurationError(
            f"uuid {text!r} is not a UUID in its usual form",
            code="PS102",
            path="uuid",
            where=where,
            hint="leave it out, and the source and function fix it",
        )


def _take_destination(options: dict[str, Any], value: dict[str, Any]) -> None:
    if value.get("OnSuccess") not in _UNSET:
        raise unknown("OnSuccess", None)
    destination = (value.get("OnFailure") or {}).get("Destination")
    if destination:
        options["on_failure"] = destination


def _function_name(text: str) -> str:
    return text.split(":function:", 1)[1] if ":function:" in text else text
