"""Runs the mappings that the API makes, on a started engine.

Rules: a mapping is checked as those of code are, by the same steps, before anything is kept; one
that is not enabled is not started; what is deleted leaves nothing behind.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from penstock import _bridge
from penstock.access import Access
from penstock.documents import Prepared, prepare_one
from penstock.errors import ConfigurationError, MappingNotFound
from penstock.gallery import Gallery
from penstock.handlers import Function
from penstock.mappings.kept import CREATING, Kept
from penstock.mappings.kinds import Kind
from penstock.mappings.model import Mapping as Written
from penstock.mappings.names import parse_function
from penstock.mappings.service import Picture
from penstock.options import Origin
from penstock.queues import Queues, embedded_facts
from penstock.refusals import invalid
from penstock.settings import Settings
from penstock.streams import Streams
from penstock.workers import Shop, Target

if TYPE_CHECKING:
    from penstock._bridge import Runtime

_ORIGIN: Final = Origin(what="the mapping API", document=True)
# Done without the engine: the counters that EventCount asks for are served for every mapping.
NOT_THE_ENGINES: Final = frozenset({"MetricsConfig"})
# What reads each kind of source, and what people call it.
_DRIVERS: Final[dict[Kind, tuple[str, str]]] = {
    "kinesis": ("source:kinesis", "Kinesis streams"),
    "dynamodb": ("source:dynamodb", "streams of DynamoDB tables"),
    "sqs": ("source:sqs", "SQS queues"),
    "fifo": ("source:sqs", "SQS queues"),
    "msk": ("source:kafka", "Amazon MSK clusters"),
    "kafka": ("source:kafka", "Apache Kafka clusters"),
    "mq": ("source:mq", "Amazon MQ brokers"),
    "docdb": ("source:docdb", "Amazon DocumentDB clusters"),
}
_NOT_RUNNING: Final = frozenset({"paused", "stopped", "failing"})


class Pollers:
    """The engine's side of the mapping API."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        access: Access,
        settings: Settings,
        functions: dict[str, Function],
        shop: Shop,
        prepared: list[Prepared],
        names: dict[str, str],
        snapshot: Callable[[], dict[str, Any]],
    ) -> None:
        self._runtime = runtime
        self._access = access
        self._settings = settings
        self._functions = functions
        self._shop = shop
        self._prepared = prepared
        self._names = names
        self._snapshot = snapshot
        self._gallery = Gallery(self.pictures)
        self._running: dict[str, Prepared] = {}
        self._lock = threading.Lock()

    def check(self, mapping: Kept) -> Prepared:
        """Find what the mapping reads and whether it can run."""
        _refuse_unread(mapping)
        answered = {
            key: value for key, value in mapping.config.items() if key not in NOT_THE_ENGINES
        }
        answered |= {"FunctionArn": mapping.function_arn, "UUID": mapping.uuid}
        answered["State"] = "Enabled" if mapping.enabled else "Disabled"
        written = Written.from_api(answered, origin=_ORIGIN)
        function = self._function(mapping)
        if written.parsed.kind == "stream":
            Streams(self._runtime.streams).describe(written.parsed.name)
        if written.parsed.kind == "queue":
            Queues(self._runtime.queues).describe(written.parsed.name)
        if written.on_failure is not None and written.on_failure.startswith("stream:"):
            Streams(self._runtime.streams).describe(written.on_failure.removeprefix("stream:"))
        prepared = prepare_one(
            written, function, self._settings, self._access, function_arn=mapping.function_arn
        )
        if written.parsed.is_queue:
            self._check_visibility(mapping, prepared)
        return prepared

    def _check_visibility(self, mapping: Kept, prepared: Prepared) -> None:
        """Refuse a queue that would show messages again under a running function.

        As on Lambda, only a new mapping or another function is looked at.
        """
        running = self._running.get(mapping.uuid)
        same = running is not None and running.document["FunctionArn"] == mapping.function_arn
        if same or (running is None and mapping.state != CREATING):
            return
        facts = prepared.queue
        if prepared.source.kind == "queue":
            facts = embedded_facts(Queues(self._runtime.queues), prepared.source.name)
        timeout_ms = prepared.function.timeout_ms
        if facts is None or timeout_ms is None:
            return
        if facts.visibility_timeout_s * 1000 < timeout_ms:
            raise invalid(
                f"Queue visibility timeout: {facts.visibility_timeout_s} seconds is less than "
                f"Function timeout: {-(-timeout_ms // 1000)} seconds"
            )

    def _function(self, mapping: Kept) -> Function:
        """Find the function; a version or an alias is of the one that is registered."""
        named = parse_function(mapping.function_arn)
        function = self._functions.get(named.name) if named is not None else None
        if function is None:
            raise ConfigurationError(
                f"Function does not exist: {mapping.function_arn}",
                code="PS108",
                path="FunctionName",
                mapping=mapping.uuid,
                hint="registered functions: " + (", ".join(self._functions) or "none"),
            )
        return function

    def apply(self, mapping: Kept, ready: Prepared | None) -> None:
        """Run the mapping as it is now."""
        prepared = ready or self.check(mapping)
        before = self._running.get(mapping.uuid)
        if before is None and not mapping.enabled:
            return
        self._shop.targets[prepared.id, prepared.function.name] = Target(
            function=prepared.function,
            function_arn=prepared.document["FunctionArn"],
            source=prepared.source.uri,
        )
        self._names[prepared.id] = prepared.function.name
        if before is None:
            self._runtime.add_mapping(prepared.payload)
        else:
            self._runtime.update_mapping(prepared.id, prepared.payload)
        with self._lock:
            self._running[mapping.uuid] = prepared
            if before is not None:
                self._prepared.remove(before)
            self._prepared.append(prepared)

    def end(self, uuid: str) -> None:
        """Let a mapping finish what it does, and no more."""
        with self._lock:
            ending = self._running.pop(uuid, None)
            if ending is None:
                return
            self._prepared.remove(ending)
        try:
            self._runtime.remove_mapping(uuid)
        except MappingNotFound:
            return  # it has ended by itself

    def forget(self, uuid: str) -> None:
        """Let go of a mapping that has ended, and of how far it had come."""
        self._runtime.forget_checkpoints(uuid)
        self._names.pop(uuid, None)
        for key in [key for key in self._shop.targets if key[0] == uuid]:
            del self._shop.targets[key]

    def recent_pictures(self) -> Mapping[str, Picture]:
        """Show every mapping that runs, as it was a moment ago; waits for nothing."""
        return self._gallery.recent()

    def close(self) -> None:
        """Take no pictures any more."""
        self._gallery.close()

    def pictures(self) -> Mapping[str, Picture]:
        """Show every mapping that runs, as it is now."""
        return {
            each["mapping"]: Picture(
                started=each["state"] != "paused",
                resting=each["state"] in _NOT_RUNNING and each["counters"]["in_flight"] == 0,
                result=each["last_processing_result"],
            )
            for each in self._snapshot()["mappings"]
        }


def _refuse_unread(mapping: Kept) -> None:
    """Refuse kinds of sources that this build has no driver for, by name."""
    feature, name = _DRIVERS[mapping.kind]
    if feature not in _bridge.features():
        raise ConfigurationError(
            f"This version of penstock cannot run mappings of {name}.",
            code="PS105",
            path="EventSourceArn",
            mapping=mapping.uuid,
            hint="penstock version lists what it can read",
        )


def written_in_code(prepared: Prepared, modified: float) -> Kept:
    """Describe a mapping of code or of a file as the API shows it."""
    document = json.loads(prepared.payload)
    enabled = document.pop("Enabled")
    for name in ("UUID", "FunctionArn", "Penstock"):
        document.pop(name, None)
    return Kept(
        uuid=prepared.id,
        config=document,
        function_arn=prepared.document["FunctionArn"],
        enabled=enabled,
        state="Enabled" if enabled else "Disabled",
        modified=modified,
        origin=str(prepared.mapping.origin),
    )
