"""Puts the mapping API's parts together for one engine: store, service, and who carries out.

Rules: mappings of code and files are shown beside those that the API made; two that read the same
source for the same function are refused before anything runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Final

from penstock.documents import Prepared
from penstock.errors import PenstockError
from penstock.handlers import Function
from penstock.mappings.conductor import Conductor
from penstock.mappings.service import MappingService, Policy
from penstock.mappings.store import Store
from penstock.pollers import Pollers, written_in_code
from penstock.settings import Settings

_STOP_SECONDS: Final = 2.0


class ControlPlane:
    """The mappings of one engine, and the threads that change them."""

    def __init__(
        self, settings: Settings, functions: dict[str, Function], pollers: Pollers
    ) -> None:
        self._store = Store(settings.state)
        self._pollers = pollers
        self._conductor = Conductor(pollers)
        self.service = MappingService(
            store=self._store,
            driver=pollers,
            functions=functions,
            policy=Policy(
                region=settings.region,
                account=settings.chosen_account,
                defaults=settings.api_defaults,
            ),
            wake=self._conductor.wake,
        )

    def start(self, prepared: Sequence[Prepared]) -> None:
        """Go on where the mappings were."""
        now = round(time.time(), 3)
        self._conductor.serve(self.service)
        self.service.load([written_in_code(each, now) for each in prepared])

    def stop(self) -> None:
        """Keep what every mapping said last, and leave."""
        self._conductor.stop(_STOP_SECONDS)
        with contextlib.suppress(PenstockError):
            self.service.remember_results()
        self._pollers.close()
        self._store.close()
