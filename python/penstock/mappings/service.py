"""Creates, shows, changes and deletes mappings by the rules of Lambda's API; no HTTP, no files.

Rules: a request is checked whole before anything is kept, and kept before anything is done; one
that is refused changes nothing; a mapping that is in between two states is not changed; what
mappings from code and from files are is theirs to say: here they can only be looked at. Looking
takes no lock and waits for nothing: what is kept are values that are never changed, only replaced.
"""

from __future__ import annotations

import threading
import time
import uuid as uuids
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from penstock.errors import ConfigurationError, MappingConflict, PenstockError, Refusal, SourceError
from penstock.handlers import Function
from penstock.mappings import kept as states
from penstock.mappings import rules
from penstock.mappings.functions import Catalog
from penstock.mappings.kept import API, Kept, Year, first_result, merged, reason_of, with_defaults
from penstock.mappings.kinds import QUEUES, Kind, kind_of
from penstock.mappings.names import FunctionRef, mapping_of_arn, parse_function
from penstock.mappings.pages import make_marker, no_such_marker, read_marker
from penstock.mappings.sentences import source_refusal, twin_refusal
from penstock.mappings.store import Store
from penstock.mappings.tags import check_tags
from penstock.refusals import NOT_FOUND, in_use, invalid, no_such_mapping

_PAGE: Final = 100
_LIST: Final = "mappings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the engine shows of a mapping that it runs."""

    started: bool
    resting: bool
    result: str | None


class Driver(Protocol):
    """Runs mappings; an engine is one."""

    def check(self, mapping: Kept) -> Any:
        """Find what the mapping reads and whether it can run; give what running it needs."""

    def apply(self, mapping: Kept, ready: Any) -> None:
        """Run the mapping as it is now; `ready` is what `check` gave, or None to look again."""

    def end(self, uuid: str) -> None:
        """Let a mapping finish what it does, and no more."""

    def forget(self, uuid: str) -> None:
        """Let go of a mapping that has ended."""

    def pictures(self) -> Mapping[str, Picture]:
        """Show every mapping that runs, as it is now."""

    def recent_pictures(self) -> Mapping[str, Picture]:
        """Show every mapping that runs, as it was a moment ago; waits for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the owner of a service has chosen."""

    region: str | None = None
    account: str | None = None
    defaults: Year = "today"


class MappingService:
    """The mappings of one engine."""

    def __init__(
        self,
        *,
        store: Store,
        driver: Driver,
        functions: Mapping[str, Function],
        policy: Policy,
        wake: Callable[[str], None],
    ) -> None:
        self._store = store
        self._driver = driver
        self._functions = functions
        self._policy = policy
        self.functions = Catalog(functions, region=policy.region, account=policy.account)
        self._wake = wake
        self._lock = threading.RLock()
        self._ready: dict[str, Any] = {}
        self._fixed: dict[str, Kept] = {}
        self._kept: dict[str, Kept] = {}
        self._order = 0

    def load(self, fixed: Iterable[Kept]) -> None:
        """Take in the mappings of code and files, and what was kept; wake what is in between."""
        with self._lock:
            for each in fixed:
                self._order += 1
                self._fixed[each.uuid] = replace(each, order=self._order - (1 << 32))
            for each in self._store.load():
                self._refuse_fixed_twin(each)
                self._kept[each.uuid] = each
                self._order = max(self._order, each.order)
            waking = list(self._kept)
        for uuid in waking:
            self._wake(uuid)

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateEventSourceMapping, of a request that the model allows."""
        kind = self._recognised(request)
        rules.check_members(request, kind, creating=True)
        named, function = self._function(request["FunctionName"])
        uuid = str(uuids.uuid4())
        config = with_defaults(request, kind, self._policy.defaults, uuid)
        rules.check_values(config, kind, creating=True)
        rules.check_timeout(function.timeout_ms, kind)
        check_tags({}, request.get("Tags") or {})
        enabled = request.get("Enabled", True)
        at_once = not enabled and kind in QUEUES
        made = Kept(
            uuid=uuid,
            config=config,
            function_arn=named.arn(*self._place(config)),
            enabled=enabled,
            state=states.DISABLED if at_once else states.CREATING,
            modified=_now(),
            result=first_result(kind),
            reason=reason_of(kind),
            tags=dict(request.get("Tags") or {}),
        )
        ready = self._asked(made)
        with self._lock:
            self._refuse_twins(made)
            self._order += 1
            made = replace(made, order=self._order)
            self._commit(made, ready)
        return self._answer(made)

    def get(self, uuid: str) -> dict[str, Any]:
        """GetEventSourceMapping."""
        return self._answer(self._current([self._find(uuid)])[0])

    def page(
        self,
        *,
        source: str | None = None,
        function: str | None = None,
        marker: str | None = None,
        most: int | None = None,
    ) -> dict[str, Any]:
        """ListEventSourceMappings."""
        after = -(1 << 33) if not marker else self._place_of(marker)
        wanted = parse_function(function) if function else None
        limit = min(most or _PAGE, _PAGE)
        everything = [*self._fixed.values(), *self._kept.values()]
        found = [
            each
            for each in sorted(everything, key=lambda each: each.order)
            if each.order > after
            and (not source or each.config.get("EventSourceArn") == source)
            and (not function or (wanted is not None and wanted.names(each.function_arn)))
        ]
        page = self._current(found[:limit])
        answer: dict[str, Any] = {"EventSourceMappings": [self._answer(each) for each in page]}
        if len(found) > limit:
            answer["NextMarker"] = make_marker(self.identity, _LIST, str(page[-1].order))
        return answer

    def update(self, uuid: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateEventSourceMapping."""
        with self._lock:
            before = self._changeable(uuid, "update")
        after = self._changed(before, request)
        ready = self._asked(after)
        with self._lock:
            if self._changeable(uuid, "update") is not before:
                raise in_use("Cannot update the event source mapping because it is in use.")
            self._refuse_twins(after)
            self._commit(after, ready)
        return self._answer(after)

    def delete(self, uuid: str) -> dict[str, Any]:
        """DeleteEventSourceMapping."""
        with self._lock:
            before = self._current([self._changeable(uuid, "delete")])[0]
            after = replace(before, state=states.DELETING, modified=_now(), enabled=False)
            self._commit(after, None)
        return self._answer(after)

    def tags(self, arn: str) -> dict[str, str]:
        """ListTags."""
        return dict(self._tagged(arn).tags)

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """TagResource."""
        with self._lock:
            found = self._tagged(arn)
            check_tags(found.tags, tags)
            self._retag(replace(found, tags={**found.tags, **tags}))

    def untag(self, arn: str, keys: Iterable[str]) -> None:
        """UntagResource."""
        gone = set(keys)
        with self._lock:
            found = self._tagged(arn)
            self._retag(replace(found, tags={k: v for k, v in found.tags.items() if k not in gone}))

    @property
    def identity(self) -> str:
        """What tells markers of this service from those of others."""
        return self._store.identity

    def described(self) -> list[dict[str, Any]]:
        """Give every mapping as this service knows it, and where it comes from."""
        found = sorted([*self._fixed.values(), *self._kept.values()], key=lambda e: e.order)
        return [self._answer(each) | {"Origin": each.origin} for each in self._current(found)]

    def kept(self, uuid: str) -> Kept | None:
        """Give a mapping that was made by the API, as it is kept."""
        with self._lock:
            return self._kept.get(uuid)

    def take_ready(self, uuid: str) -> Any:
        """Give what the check of the latest change has found, once."""
        with self._lock:
            return self._ready.pop(uuid, None)

    def arrive(self, before: Kept, result: str | None) -> None:
        """Let a mapping come to rest in its new state; a deleted one is gone."""
        with self._lock:
            if self._kept.get(before.uuid) is not before:
                return
            if before.state == states.DELETING:
                self._store.remove(before.uuid)
                del self._kept[before.uuid]
                return
            state = states.ENABLED if before.enabled else states.DISABLED
            after = replace(before, state=state, result=result or before.result)
            self._store.save(after)
            self._kept[before.uuid] = after

    def remember_results(self) -> None:
        """Keep what every mapping said last of its processing."""
        with self._lock:
            pictures = self._driver.pictures()
            for each in self._current(list(self._kept.values()), pictures):
                if each is not self._kept[each.uuid]:
                    self._store.save(each)
                    self._kept[each.uuid] = each

    def _recognised(self, request: Mapping[str, Any]) -> Kind:
        kind = kind_of(request)
        if kind is None:
            raise invalid("Unrecognized event source.")
        return kind

    def _function(self, text: str) -> tuple[FunctionRef, Function]:
        named = parse_function(text)
        allowed = named is not None and named.name in self._functions
        if named is not None and self._policy.account is not None:
            allowed = allowed and named.account in {None, self._policy.account}
        if named is not None and self._policy.region is not None:
            allowed = allowed and named.region in {None, self._policy.region}
        if named is None or not allowed:
            known = ", ".join(sorted(self._functions)) or "none"
            raise invalid("Function does not exist", hint=f"registered functions: {known}")
        return named, self._functions[named.name]

    def _place(self, config: Mapping[str, Any]) -> tuple[str, str]:
        """Give region and account of functions: the owner's, else the source's, else defaults."""
        _, _, _, region, account, *_ = str(config.get("EventSourceArn") or "arn:::::").split(":", 5)
        return (
            self._policy.region or region or "us-east-1",
            self._policy.account or account or "000000000000",
        )

    def _changed(self, before: Kept, request: Mapping[str, Any]) -> Kept:
        kind = before.kind
        rules.check_members(request, kind, creating=False)
        function_arn = before.function_arn
        function = self._functions.get((parse_function(function_arn) or _NOBODY).name)
        if request.get("FunctionName"):
            named, function = self._function(request["FunctionName"])
            function_arn = named.arn(*self._place(before.config))
        config = merged(before.config, request)
        rules.check_values(config, kind, creating=False)
        rules.check_timeout(function.timeout_ms if function else None, kind)
        enabled = request.get("Enabled", before.enabled)
        if enabled != before.enabled:
            state = states.ENABLING if enabled else states.DISABLING
        else:
            state = states.UPDATING
        current = self._current([before])[0]
        return replace(
            current, config=config, function_arn=function_arn, enabled=enabled, state=state,
            modified=_now(),
        )  # fmt: skip

    def _asked(self, mapping: Kept) -> Any:
        """Ask the engine whether it can run a mapping; its errors are told in AWS's words."""
        try:
            return self._driver.check(mapping)
        except Refusal:
            raise
        except SourceError as error:
            raise source_refusal(error, mapping) from error
        except PenstockError as error:
            message = error.message
            if isinstance(error, ConfigurationError) and error.path and message[:1].islower():
                message = f"{error.path} {message}"  # a sentence about the member at the path
            raise invalid(message, hint=error.hint) from error

    def _refuse_twins(self, mapping: Kept) -> None:
        for each in (*self._fixed.values(), *self._kept.values()):
            if each.uuid != mapping.uuid and each.pair == mapping.pair:
                raise twin_refusal(mapping, each)

    def _refuse_fixed_twin(self, kept: Kept) -> None:
        for each in self._fixed.values():
            if each.pair == kept.pair:
                raise MappingConflict(
                    f"{kept.source} is mapped to {kept.function_arn} by the API already",
                    mapping=kept.uuid,
                    where=each.origin,
                    hint=f"take one of them away: penstock mapping delete {kept.uuid}",
                )

    def _find(self, uuid: str) -> Kept:
        found = self._kept.get(uuid) or self._fixed.get(uuid)
        if found is None:
            raise no_such_mapping()
        return found

    def _changeable(self, uuid: str, verb: str) -> Kept:
        found = self._find(uuid)
        if found.origin != API:
            raise invalid(
                f"The event source mapping {uuid} comes from {found.origin}; change it there."
            )
        if found.state == states.UPDATING:
            raise in_use(
                "The operation cannot be performed at this time. The event source mapping is "
                "currently being updated."
            )
        if found.state not in states.STABLE:
            raise in_use(f"Cannot {verb} the event source mapping because it is in use.")
        return found

    def _commit(self, mapping: Kept, ready: Any) -> None:
        self._store.save(mapping)
        self._kept[mapping.uuid] = mapping
        self._ready[mapping.uuid] = ready
        if mapping.state not in states.STABLE:
            self._wake(mapping.uuid)

    def _tagged(self, arn: str) -> Kept:
        found = self._kept.get(mapping_of_arn(arn) or "")
        if found is None or found.arn != arn:
            raise Refusal(f"Event source mapping not found: {arn}", type=NOT_FOUND)
        return found

    def _retag(self, mapping: Kept) -> None:
        self._store.save(mapping)
        self._kept[mapping.uuid] = mapping

    def _current(
        self, mappings: list[Kept], pictures: Mapping[str, Picture] | None = None
    ) -> list[Kept]:
        """Give mappings with what the engine says of their processing at this moment."""
        if pictures is None:
            pictures = self._driver.recent_pictures() if mappings else {}
        return [
            replace(each, result=picture.result)
            if (picture := pictures.get(each.uuid)) is not None
            and picture.result not in {None, each.result, states.NO_RECORDS}
            and each.kind not in QUEUES
            else each
            for each in mappings
        ]

    def _answer(self, mapping: Kept) -> dict[str, Any]:
        return mapping.answer(self._policy.defaults)

    def _place_of(self, marker: str) -> int:
        try:
            return int(read_marker(self.identity, _LIST, marker))
        except ValueError:
            raise no_such_marker() from None


_NOBODY: Final = FunctionRef(name="")


def _now() -> float:
    return round(time.time(), 3)
