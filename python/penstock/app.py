"""Gathers functions and mappings, and runs them.

Rules: everything is refused at the line where it is written, as far as it can be known there;
nothing runs before `run()`, `background()` or `running()`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from collections.abc import Mapping as MappingABC
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, TypeVar, Unpack

from penstock.documents import function_of
from penstock.durations import Duration
from penstock.engine import Engine
from penstock.errors import ConfigurationError, MappingConflict
from penstock.handlers import (
    PROCESS,
    THREADS,
    Function,
    Handler,
    default_name,
    describe_handler,
    make_function,
)
from penstock.keepers import Keeper, check_keeper, gathered
from penstock.mappings.model import Mapping
from penstock.mappings.store import keeps_mappings
from penstock.options import MappingOptions, Origin
from penstock.queues import QueueOptions
from penstock.report import Report
from penstock.settings import (
    DEFAULT_ACCOUNT,
    DEFAULT_COROUTINES,
    Settings,
    make_settings,
)
from penstock.supervise import Observer, Supervisor, Until
from penstock.workers.children import Children
from penstock.workers.entry import entry_of

log = logging.getLogger("penstock")

H = TypeVar("H", bound=Callable[..., Any])
K = TypeVar("K", bound=Keeper)


class App:
    """Functions, and the event source mappings that call them.

    `workers` is how many plain functions run at once, and `pool` what runs them: "threads" (16,
    unless said otherwise) or "process", child processes of which there are as many as cores, kept
    as `children` says. `coroutines` is how many `async def` ones run at once.

    `state` is the directory of checkpoints, embedded streams and queues, or ":memory:". `streams`
    are embedded streams, by name and number of shards, and `queues` embedded queues, by name and
    options, that are made if they are missing. `silence` switches warnings off by code.

    `api` is where the mapping API is served, as "PORT" or "HOST:PORT"; `api_defaults` "2019" makes
    it answer with the defaults of that year's documents. `api_token` is a file with the secret that
    requests must carry, and with `api_keys` keys of `penstock keys create` are asked for; without
    either the address is one of this machine. `api_tls_cert` and `api_tls_key` are files in PEM
    form: HTTPS is served with the certificates and the key in them. `allowed_hosts` are the names
    besides localhost that requests may call it by. `aliases` say for a source's ARN what is read in
    its place: {ARN: {"source": "dynamodb:orders", "endpoint": "http://127.0.0.1:8000"}}.
    """

    def __init__(
        self,
        *,
        state: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        pool: str = THREADS,
        children: Children | None = None,
        coroutines: int = DEFAULT_COROUTINES,
        drain_timeout: Duration = 30,
        streams: MappingABC[str, int] | None = None,
        queues: MappingABC[str, QueueOptions] | None = None,
        lambda_environment: bool = True,
        region: str | None = None,
        endpoint: str | None = None,
        account: str = DEFAULT_ACCOUNT,
        silence: Iterable[str] = (),
        trace: str | os.PathLike[str] | None = None,
        aliases: MappingABC[str, MappingABC[str, str]] | None = None,
        api: str | int | None = None,
        api_defaults: str | int = "today",
        api_token: str | os.PathLike[str] | None = None,
        api_keys: bool = False,
        api_tls_cert: str | os.PathLike[str] | None = None,
        api_tls_key: str | os.PathLike[str] | None = None,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        self.settings = make_settings(
            state=state,
            workers=workers,
            pool=pool,
            children=children,
            coroutines=coroutines,
            drain_timeout=drain_timeout,
            streams=streams,
            queues=queues,
            lambda_environment=lambda_environment,
            region=region,
            endpoint=endpoint,
            account=account,
            silence=silence,
            trace=trace,
            aliases=aliases,
            api=api,
            api_defaults=api_defaults,
            api_token=api_token,
            api_keys=api_keys,
            api_tls_cert=api_tls_cert,
            api_tls_key=api_tls_key,
            allowed_hosts=allowed_hosts,
            where=str(Origin.here("App(…)", 1)),
        )
        self._mappings: list[Mapping] = []
        self._handlers: list[Handler] = []
        self._functions: list[Function] = []
        self._keepers: dict[str, Keeper] = {}

    def on(self, source: str, **options: Unpack[MappingOptions]) -> Callable[[H], H]:
        """Map a source to the function below; options have Lambda's names in snake case."""
        origin = Origin.here(f'@app.on("{source}")', 1)
        # Refuses wrong options here, at their line, before there is a function.
        Mapping(source, "", origin=origin, **options)

        def register(handler: H) -> H:
            self._check(handler, str(origin))
            self._mappings.append(Mapping(source, handler, origin=origin, **options))
            if not any(known is handler for known in self._handlers):
                self._handlers.append(handler)
            return handler

        return register

    def function(
        self,
        *,
        name: str | None = None,
        timeout: Duration | None = None,
        memory_size: int = 128,
        version: str | int = "$LATEST",
        role_arn: str | None = None,
    ) -> Callable[[H], H]:
        """Say of the function below what Lambda would know of it."""
        where = str(Origin.here("@app.function(…)", 1))

        def register(handler: H) -> H:
            function = make_function(
                handler,
                name=name,
                timeout=timeout,
                memory_size=memory_size,
                version=version,
                role_arn=role_arn,
                where=where,
            )
            if any(known.handler is handler for known in self._functions):
                raise MappingConflict(
                    f"{describe_handler(handler)} is a function already", where=where
                )
            self._functions.append(function)
            return handler

        return register

    def destination(self, name: str | None = None) -> Callable[[K], K]:
        """Let failure documents go to the function below: `on_failure="function:NAME"`."""
        where = str(Origin.here("@app.destination(…)", 1))

        def register(keeper: K) -> K:
            check_keeper(keeper, where=where)
            called = name or default_name(keeper)
            if self._keepers.setdefault(called, keeper) is not keeper:
                raise MappingConflict(
                    f"there is a function {called!r} for failure documents already",
                    where=where,
                    hint="name one of them: @app.destination(name=…)",
                )
            return keeper

        return register

    def add(self, mapping: Mapping) -> None:
        """Add a mapping that was made as a value."""
        if not isinstance(mapping, Mapping):
            raise ConfigurationError(
                f"{mapping!r} is not a penstock.Mapping", code="PS102", path="mapping"
            )
        self._mappings.append(mapping)
        handler = mapping.function
        if not isinstance(handler, str) and not any(known is handler for known in self._handlers):
            self._check(handler, str(mapping.origin))
            self._handlers.append(handler)

    def override(self, mapping: Mapping) -> None:
        """Add a mapping in the place of one of the same source and function, if there is one.

        It keeps the other's id unless it has one of its own, so that its checkpoints hold; a
        mapping of the command line stays.
        """
        functions = self.functions
        pair = (mapping.parsed.identity, function_of(mapping, functions).name)
        for place, each in enumerate(self._mappings):
            if (each.parsed.identity, function_of(each, functions).name) != pair:
                continue
            if not each.origin.flags:
                log.info("the mapping of %s goes before that of %s", mapping.origin, each.origin)
                self._mappings[place] = mapping.with_id_of(each)
            return
        self.add(mapping)

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """The mappings so far."""
        return tuple(self._mappings)

    @property
    def functions(self) -> dict[str, Function]:
        """The functions so far, by name."""
        return self._named_functions()

    def run(
        self,
        *,
        until: Until = None,
        max_time: Duration | None = None,
        observer: Observer | None = None,
    ) -> Report:
        """Run in the foreground until a signal, or until everything is read and settled."""
        if until not in {None, "idle"}:
            raise ConfigurationError(
                f'until must be "idle" or None, not {until!r}', code="PS102", path="until"
            )
        supervisor = Supervisor(self.engine(), until=until, max_time=max_time, observer=observer)
        return supervisor.run()

    @contextmanager
    def background(self) -> Iterator[Engine]:
        """Run beside a program that has a main loop of its own; no signals are caught."""
        engine = self.engine()
        engine.start()
        with engine:
            yield engine

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Engine]:
        """Run beside an asyncio program; starting and draining do not block its loop."""
        engine = self.engine()
        await asyncio.to_thread(engine.start)
        try:
            yield engine
        finally:
            await asyncio.to_thread(engine.__exit__, None, None, None)

    def engine(self, settings: Settings | None = None) -> Engine:
        """Make an engine of what was registered; it is not started."""
        settings = settings or self.settings
        if not self._mappings and settings.api is None and not keeps_mappings(settings.state):
            raise ConfigurationError(
                "the app has no mappings",
                code="PS116",
                hint='decorate a function with @app.on("stream:NAME", …)',
            )
        mappings, keepers = tuple(self._mappings), gathered(self._keepers, self._mappings)
        return Engine(settings, mappings, self._named_functions(), keepers)

    def _check(self, handler: object, where: str) -> None:
        function = make_function(handler, name="checked", where=where)
        if self.settings.pool == PROCESS and function.pool == THREADS:
            entry_of(handler, where=where)

    def _pooled(self, function: Function) -> Function:
        if function.pool != THREADS or self.settings.pool == THREADS:
            return function
        return replace(function, pool=self.settings.pool)

    def _named_functions(self) -> dict[str, Function]:
        functions = list(self._functions)
        for handler in self._handlers:
            if not any(function.handler is handler for function in functions):
                functions.append(make_function(handler))
        named: dict[str, Function] = {}
        for function in map(self._pooled, functions):
            twin = named.setdefault(function.name, function)
            if twin is not function:
                raise MappingConflict(
                    f"{describe_handler(twin.handler)} and {describe_handler(function.handler)} "
                    f"are both called {function.name}",
                    hint="name one of them: @app.function(name=…)",
                )
        return named
