"""Changes the mappings of a state directory on which nothing runs.

Rules: the same service and the same rules; sources are not asked and functions not known, since
both are the next engine's; a change comes to rest at once; with a mapping its
checkpoints are deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock.errors import PenstockError
from penstock.handlers import Function, make_function
from penstock.mappings.kept import DELETING, Kept
from penstock.mappings.service import MappingService, Picture, Policy
from penstock.mappings.store import Store
from penstock.sources import parse_source


@contextmanager
def offline_service(directory: Path, forget: Callable[[str], None]) -> Iterator[MappingService]:
    """Give the service of a directory, whose lock the caller holds.

    `forget` takes the checkpoints of a mapping out of the directory.
    """
    store, waiting = Store(directory), _Waiting(forget)
    service = MappingService(
        store=store, driver=_Nothing(), functions=_AnyFunction(), policy=Policy(), wake=waiting.wake
    )
    waiting.service = service
    try:
        service.load(())
        yield service
    finally:
        store.close()


class _Waiting:
    """Lets every change come to rest when it has been made."""

    def __init__(self, forget: Callable[[str], None]) -> None:
        self.service: MappingService | None = None
        self._forget = forget

    def wake(self, uuid: str) -> None:
        mapping = self.service.kept(uuid) if self.service is not None else None
        if self.service is None or mapping is None:
            return
        if mapping.state == DELETING:
            self._forget(uuid)
        self.service.arrive(mapping, None)


class _Nothing:
    """Runs nothing."""

    def check(self, mapping: Kept) -> None:
        parse_source(mapping.source)

    def apply(self, mapping: Kept, ready: Any) -> None:  # noqa: ARG002 -- nothing is ever ready
        raise PenstockError("nothing runs on this directory", mapping=mapping.uuid)

    def end(self, uuid: str) -> None:
        raise PenstockError("nothing runs on this directory", mapping=uuid)

    def forget(self, uuid: str) -> None:
        raise PenstockError("nothing runs on this directory", mapping=uuid)

    def pictures(self) -> Mapping[str, Picture]:
        return {}

    def recent_pictures(self) -> Mapping[str, Picture]:
        return {}


class _AnyFunction(Mapping[str, Function]):
    """Stands for the functions that the next engine will have."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __getitem__(self, name: str) -> Function:
        return make_function(_unknown, name=name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _unknown(event: Any, context: Any) -> None:
    """Stand for a handler; it is never called."""
