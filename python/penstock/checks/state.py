"""Looks at the state directory, and at what is to be found in it.

Rules: a directory is not made, only looked at; when another process owns it, what it holds is
asked of its owner.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock import _bridge
from penstock.api.client import Client
from penstock.checks.findings import Finding, failed
from penstock.engine import outside
from penstock.errors import PenstockError
from penstock.plan_queues import QueueFacts
from penstock.queues import Queues, embedded_facts
from penstock.settings import Settings
from penstock.streams import Streams
from penstock.wording import counted, words

_FILE: Final = "penstock.db"
_CLOSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateView:
    """What can be seen of embedded streams and checkpoints."""

    settings: Settings
    streams: Streams | None = None
    queues: Queues | None = None
    runtime: _bridge.Runtime | None = None
    owner: Client | None = None

    def stream(self, subject: str, name: str) -> tuple[Finding, int | None]:
        """Look for an embedded stream, and count its open shards."""
        planned = self.settings.streams.get(name)
        try:
            known = [] if self.streams is None else self.streams.names()
        except PenstockError as error:
            return failed(subject, error), None
        for stream in known:
            if stream["name"] == name:
                count = sum(1 for shard in stream["shards"] if not shard["closed"])
                said = f"stream:{name}, {counted(count, 'open shard')}"
                return Finding(subject=subject, good=True, said=said), count
        if planned is not None:
            said = f"stream:{name} will be made with {counted(planned, 'shard')}"
            return Finding(subject=subject, good=True, said=said), planned
        hint = f"make it with penstock stream create {name}, or App(streams={{{name!r}: 1}})"
        said = f"there is no embedded stream {name}"
        return Finding(subject=subject, good=False, said=said, code="PS203", hint=hint), None

    def queue(self, subject: str, name: str) -> tuple[Finding, QueueFacts | None]:
        """Look for an embedded queue."""
        try:
            known = [] if self.queues is None else [each["name"] for each in self.queues.names()]
            if self.queues is not None and name in known:
                facts = embedded_facts(self.queues, name)
                hidden = words(facts.visibility_timeout_s)
                said = f"queue:{name}, hides what is received for {hidden}"
                return Finding(subject=subject, good=True, said=said), facts
        except PenstockError as error:
            return failed(subject, error), None
        if name in self.settings.queues:
            said = f"queue:{name} will be made"
            return Finding(subject=subject, good=True, said=said), None
        hint = f"make it with penstock queue create {name}, or App(queues={{{name!r}: {{}}}})"
        said = f"there is no embedded queue {name}"
        return Finding(subject=subject, good=False, said=said, code="PS203", hint=hint), None

    def has_checkpoints(self, mapping: str) -> bool:
        """Whether anything is saved for a mapping."""
        if self.runtime is not None:
            return bool(json.loads(self.runtime.checkpoints(mapping)))
        if self.owner is not None:
            return bool(self.owner.checkpoints(mapping)["rows"])
        return False


def open_view(settings: Settings, stack: ExitStack) -> tuple[StateView, Finding]:
    """Look at the state directory; what is opened is closed by `stack`."""
    directory = settings.state
    if directory is None:
        said = "in memory: nothing outlives the process"
        return StateView(settings=settings), Finding(subject="state", good=True, said=said)
    if not (directory / _FILE).exists():
        return StateView(settings=settings), _new_directory(directory)
    document = settings.runtime_document({}, "warn") | {"clock": "system", "trace_dir": None}
    try:
        runtime = _bridge.Runtime(json.dumps(document).encode())
    except PenstockError as error:
        client = Client(directory)
        owner = client if client.is_answered() else None
        view = StateView(
            settings=settings,
            streams=Streams(client.streams) if owner else None,
            queues=Queues(client.queues) if owner else None,
            owner=owner,
        )
        return view, failed("state", error)
    stack.callback(outside, lambda: runtime.close(_CLOSE_SECONDS))
    view = StateView(
        settings=settings,
        streams=Streams(runtime.streams),
        queues=Queues(runtime.queues),
        runtime=runtime,
    )
    return view, Finding(subject="state", good=True, said=f"{directory} can be used")


def destination(name: str, view: StateView) -> Finding:
    """Look at the destination of failure documents."""
    kind, _, rest = name.partition(":")
    if kind == "stream":
        return view.stream("destination", rest)[0]
    if kind == "queue":
        return view.queue("destination", rest)[0]
    path = Path(rest)
    if path.is_dir():
        return _unwritable("destination", path, "it is a directory")
    writable = path if path.exists() else path.absolute().parent
    if not writable.exists():
        return _unwritable("destination", path, f"there is no directory {writable}")
    if not os.access(writable, os.W_OK):
        return _unwritable("destination", path, f"{writable} cannot be written")
    return Finding(subject="destination", good=True, said=f"{name} can be written")


def _new_directory(directory: Path) -> Finding:
    existing: Any = directory
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return _unwritable("state", directory, f"{existing} is no directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        return _unwritable("state", directory, f"{existing} cannot be written")
    return Finding(subject="state", good=True, said=f"{directory} will be made")


def _unwritable(subject: str, path: Path, why: str) -> Finding:
    code, hint = ("PS304", "name another with --state") if subject == "state" else ("PS400", None)
    return Finding(
        subject=subject,
        good=False,
        said=f"{path} cannot be used: {why}",
        code=code,
        hint=hint or "name a file in a directory that can be written",
    )
