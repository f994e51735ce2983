"""Gives commands the state directory: through its owner when there is one, else opened here.

Rules: a directory that does not exist is made only by commands that write; an owner that appears
between asking and opening is said, not fought with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock import _bridge
from penstock.api.client import Client
from penstock.audit import Audit, local_asker
from penstock.cli.options import directory_of
from penstock.engine import outside
from penstock.errors import CheckpointError, PenstockError
from penstock.moves import Moves
from penstock.queues import Queues
from penstock.settings import Settings
from penstock.streams import Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a command can ask of a state directory."""

    streams: Streams
    queues: Queues
    owner: Client | None
    runtime: _bridge.Runtime | None
    directory: Path

    def move_checkpoints(self, mapping: str, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out an operator's move."""
        if self.owner is not None:
            return self.owner.move_checkpoints(mapping, command)
        assert self.runtime is not None
        if command["op"] == "skip":
            raise PenstockError(
                f"no engine runs on the state directory {self.directory}, and only the engine "
                "that runs a mapping knows what waits for its destination",
                code="PS700",
                hint="start it with penstock run, or set the shard behind what is stuck",
            )
        moves = Moves(self.runtime, Audit(self.directory))
        return moves.run(mapping, command, local_asker())

    def checkpoints(self, mapping: str) -> dict[str, Any]:
        """Give what is saved for a mapping."""
        if self.owner is not None:
            return self.owner.checkpoints(mapping)
        assert self.runtime is not None
        return {"mapping": mapping, "rows": json.loads(self.runtime.checkpoints(mapping))}


@contextmanager
def open_state(given: Path | None, *, create: bool = False) -> Iterator[State]:
    """Reach the state directory for the time of one command."""
    directory = directory_of(given)
    client = Client(directory)
    if client.is_answered():
        streams, queues = Streams(client.streams), Queues(client.queues)
        yield State(streams=streams, queues=queues, owner=client, runtime=None, directory=directory)
        return
    if not create and not directory.is_dir():
        raise CheckpointError(
            f"there is no state directory {directory}",
            hint="name it with --state, or start with penstock stream create",
        )
    document = Settings(state=directory).runtime_document({}, "warn")
    runtime = _bridge.Runtime(json.dumps(document).encode())
    try:
        streams, queues = Streams(runtime.streams), Queues(runtime.queues)
        yield State(
            streams=streams, queues=queues, owner=None, runtime=runtime, directory=directory
        )
    finally:
        outside(lambda: runtime.close(5.0))
