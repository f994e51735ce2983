"""Checks an app without consuming anything: configuration, reachability, permissions, state.

Rules: nothing is made, written or saved, no lease is taken; one bad mapping does not hide another;
every finding says what was looked at, and a bad one what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from penstock import plan as plans
from penstock.access import Access
from penstock.app import App
from penstock.checks.destinations import aws_destination
from penstock.checks.findings import Finding, failed
from penstock.checks.sources import aws_source
from penstock.checks.state import StateView, destination, open_view
from penstock.destinations import is_aws
from penstock.documents import Prepared, prepare, refuse_doubles
from penstock.errors import ConfigurationError, MappingConflict, PenstockError
from penstock.handlers import describe_handler
from penstock.keepers import PREFIX
from penstock.mappings.model import Mapping
from penstock.plan import Planned, planned_queue, planned_stream

__all__ = ["Checked", "Finding", "Result", "check"]

CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One mapping and what was found."""

    name: str
    source: str
    findings: list[Finding]
    plan: Planned | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything that was found."""

    general: list[Finding]
    mappings: list[Checked]

    @property
    def findings(self) -> list[Finding]:
        """All findings, the general ones first."""
        return [*self.general, *(each for mapping in self.mappings for each in mapping.findings)]


def check(app: App) -> Result:
    """Look at everything that a run of the app would need."""
    settings = app.settings
    functions = app.functions
    app.engine()  # refuses an app without mappings
    access = Access(region=settings.region, endpoint=settings.endpoint)
    prepared: list[Prepared] = []
    checked: list[Checked] = []
    with ExitStack() as stack:
        view, state = open_view(settings, stack)
        for mapping in app.mappings:
            try:
                [one] = prepare([mapping], functions, settings, access)
            except PenstockError as error:
                checked.append(_unprepared(mapping, error))
                continue
            prepared.append(one)
            checked.append(_check_one(one, app, access, view))
    general = [state]
    try:
        refuse_doubles(prepared)
    except MappingConflict as error:
        general.append(failed(CONFIGURATION, error))
    return Result(general=general, mappings=checked)


def _unprepared(mapping: Mapping, error: PenstockError) -> Checked:
    wrong = isinstance(error, ConfigurationError | MappingConflict)
    function = mapping.function
    name = function if isinstance(function, str) else describe_handler(function)
    finding = failed(CONFIGURATION if wrong else "source", error)
    return Checked(name=name, source=mapping.parsed.uri, findings=[finding])


def _check_one(each: Prepared, app: App, access: Access, view: StateView) -> Checked:
    settings, function = app.settings, each.function
    findings = [
        Finding(subject=CONFIGURATION, good=True, said="accepted"),
        Finding(
            subject="handler",
            good=True,
            said=f"{describe_handler(function.handler)} on {function.pool}",
        ),
    ]
    shards, queue = each.open_shards, each.queue
    if each.source.kind == "stream":
        finding, shards = view.stream("source", each.source.name)
        findings.append(finding)
    elif each.source.kind == "queue":
        finding, queue = view.queue("source", each.source.name)
        findings.append(finding)
    else:
        findings += aws_source(each, access)
    if each.destination is not None:
        findings.append(_destination(each, access, view))
    slots = settings.sizes()[function.pool]
    if each.source.is_queue:
        plan: Planned = planned_queue(each, queue, slots)
    else:
        first_start = not view.has_checkpoints(each.id)
        plan = planned_stream(each, shards, slots, first_start=first_start)
    return Checked(
        name=function.name,
        source=each.source.uri,
        findings=findings,
        plan=plan,
        warnings=list(_warnings(plan, settings.silence)),
    )


def _destination(each: Prepared, access: Access, view: StateView) -> Finding:
    name = str(each.destination)
    if name.startswith(PREFIX):
        return Finding(subject="destination", good=True, said=f"{name} is registered")
    if is_aws(name):
        return aws_destination(name, each.destination_identity, access)
    return destination(name, view)


def _warnings(plan: Planned, silence: frozenset[str]) -> Iterator[tuple[str, str]]:
    yield from plans.warnings([plan], silence)
