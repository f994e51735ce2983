"""Turns mappings, functions and settings into the documents that the runtime is given.

Rules: a document is validated by the runtime's own `normalize`, and an error is told in the user's
words; ids of mappings and names of functions are unique before anything starts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from penstock import _bridge
from penstock.access import Access, with_arn
from penstock.errors import ConfigurationError, MappingConflict
from penstock.handlers import Function
from penstock.identities import Identity
from penstock.mappings.model import Mapping, document_bytes
from penstock.plan_queues import QueueFacts
from penstock.settings import DEFAULT_REGION, Settings
from penstock.sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One mapping, ready to be started."""

    id: str
    mapping: Mapping
    function: Function
    source: Source
    document: dict[str, Any]
    open_shards: int | None
    # What a queue of AWS says of itself; an embedded one is asked when it is there.
    queue: QueueFacts | None = None

    @property
    def destination(self) -> str | None:
        """Where failure documents go."""
        on_failure = self.document.get("DestinationConfig", {}).get("OnFailure", {})
        found: str | None = on_failure.get("Destination")
        return found

    @property
    def destination_identity(self) -> Identity:
        """As whom they are delivered."""
        return Identity.of_destination(self.mapping, self.source.region)

    @property
    def payload(self) -> bytes:
        """The document as it crosses the boundary."""
        return document_bytes(self.document)


def prepare(
    mappings: Sequence[Mapping],
    functions: dict[str, Function],
    settings: Settings,
    access: Access,
) -> list[Prepared]:
    """Resolve, describe and check every mapping."""
    prepared = [
        prepare_one(mapping, function_of(mapping, functions), settings, access)
        for mapping in mappings
    ]
    refuse_doubles(prepared)
    return prepared


def prepare_one(
    mapping: Mapping,
    function: Function,
    settings: Settings,
    access: Access,
    function_arn: str | None = None,
) -> Prepared:
    """Resolve, describe and check one mapping, of a function as its ARN names it."""
    source, access_name, shards, stream_arn, queue = mapping.parsed, None, None, None, None
    if not source.embedded:
        identity = Identity.of_source(mapping)
        resolved = access.resolve(source, where=str(mapping.origin), identity=identity)
        source, access_name = with_arn(source, resolved), resolved.access
        shards, stream_arn = resolved.open_shards, resolved.stream_arn
        if resolved.visibility_s is not None:
            queue = QueueFacts(visibility_timeout_s=resolved.visibility_s)
    region = source.region or settings.region or DEFAULT_REGION
    document = mapping.options_document()
    mapping_id = mapping.id_for(function.name)
    document |= {
        "UUID": mapping_id,
        "EventSourceArn": source.arn,
        "FunctionArn": function_arn or function.arn(region, settings.account_of(source.arn)),
    }
    document.setdefault("Penstock", {}).update(
        {
            "Source": source.uri,
            "Handler": function.name,
            "Pool": function.pool,
            "FunctionVersion": function.version,
            "RoleArn": function.role_arn,
            "FunctionTimeoutMs": function.timeout_ms,
            "Region": region,
            "Access": access_name,
            "StreamArn": stream_arn,
        }
    )
    document["Penstock"] = {k: v for k, v in document["Penstock"].items() if v is not None}
    try:
        normal = json.loads(_bridge.normalize(document_bytes(document)))
    except ConfigurationError as error:
        raise mapping.blame(error) from None
    return Prepared(
        id=mapping_id, mapping=mapping, function=function, source=source, document=normal,
        open_shards=shards, queue=queue,
    )  # fmt: skip


def function_of(mapping: Mapping, functions: dict[str, Function]) -> Function:
    """Find the function of a mapping."""
    wanted = mapping.function
    if not isinstance(wanted, str):
        for function in functions.values():
            if function.handler is wanted:
                return function
    name = str(wanted).removesuffix(":$LATEST")
    if name in functions:
        return functions[name]
    raise ConfigurationError(
        f"there is no function {name!r}",
        code="PS108",
        path="function",
        where=str(mapping.origin),
        hint="functions: " + (", ".join(functions) or "none; register one with @app.function"),
    )


def refuse_doubles(prepared: Iterable[Prepared]) -> None:
    """Refuse a source that is mapped to one function twice."""
    seen: dict[str, Prepared] = {}
    pairs: dict[tuple[str, str], Prepared] = {}
    for each in prepared:
        pair = (each.source.identity, each.function.name)
        twin = pairs.setdefault(pair, each)
        if twin is each:
            twin = seen.setdefault(each.id, each)
        if twin is not each:
            raise MappingConflict(
                f"{each.source.uri} is mapped to {each.function.name} twice",
                mapping=each.id,
                where=str(each.mapping.origin),
                hint=_what_to_do(each, twin),
            )


def _what_to_do(each: Prepared, twin: Prepared) -> str:
    """Say where the other one is; two spellings of one source are known for one only at start."""
    other = f"the other one: {twin.mapping.origin}"
    if each.mapping.parsed.identity == twin.mapping.parsed.identity:
        return other
    return (
        f"{other}, which calls the source {twin.mapping.parsed.identity}: take one of them away, "
        "or call it the same in both, and a declared mapping goes before one of code"
    )
