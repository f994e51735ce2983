"""Starts, watches and stops one engine: the runtime, its mappings, its workers and helpers.

Rules: everything is checked before anything runs; what was started is stopped in the reverse order,
also when starting fails half-way; the main thread never waits in Rust; after a fork every call
says so.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar

from penstock import _bridge, telemetry
from penstock import plan as plans
from penstock.access import Access
from penstock.audit import Asker, Audit
from penstock.control_plane import ControlPlane
from penstock.deliveries import Deliveries
from penstock.documents import Prepared, prepare
from penstock.errands import Errands
from penstock.errors import ForkedProcess, MappingNotFound, RuntimeClosed, SourceError
from penstock.handlers import AIO, PROCESS, THREADS, Function
from penstock.keepers import Keeper
from penstock.mappings.model import Mapping
from penstock.mappings.service import MappingService
from penstock.moves import Moves
from penstock.plan import Planned, planned_queue, planned_stream
from penstock.plan_queues import QueueFacts
from penstock.pollers import Pollers
from penstock.queues import Message, Queues, embedded_facts, in_order
from penstock.report import Report, make_report
from penstock.settings import Address, Settings
from penstock.streams import Record, Streams
from penstock.workers import Running, Shop, Target
from penstock.workers.aio import LoopPool
from penstock.workers.environment import LambdaEnvironment
from penstock.workers.failures import FailureLog
from penstock.workers.processes import ProcessPool, make_setup
from penstock.workers.threads import ThreadPool

log = logging.getLogger("penstock")

T = TypeVar("T")
_JOIN_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 2.0


class Engine:
    """A running engine. `App.background()` and `App.running()` give one."""

    def __init__(
        self,
        settings: Settings,
        mappings: Sequence[Mapping],
        functions: dict[str, Function],
        keepers: dict[str, Keeper] | None = None,
    ) -> None:
        self._settings = settings
        self._mappings = mappings
        self._functions = functions
        self._keepers = keepers or {}
        self._forked = False
        self._closing = threading.Lock()
        self._undo = contextlib.ExitStack()
        self._pools: list[ThreadPool | LoopPool | ProcessPool] = []
        self._started_at = time.monotonic()
        self._drained: bool | None = None
        self._drain_seconds = 0.0
        self._last: dict[str, Any] = {"mappings": []}
        self._names: dict[str, str] = {}
        self.prepared: list[Prepared] = []
        self.service: MappingService | None = None
        self.audit = Audit(settings.state)
        self.api: Address | None = None
        _engines.add(self)

    def start(self, on_plan: Callable[[list[Planned]], None] | None = None) -> None:
        """Start everything; `on_plan` is told what is going to happen before the first fetch."""
        access = Access(
            region=self._settings.region,
            endpoint=self._settings.endpoint,
            aliases=self._settings.aliases,
        )
        self.prepared = prepare(self._mappings, self._functions, self._settings, access)
        with contextlib.ExitStack() as undo:
            self._undo = undo
            self._start_runtime(access)
            plan = self._plan()
            for mapping in plan:
                log.info("%s", mapping.line())
            if on_plan is not None:
                on_plan(plan)
            for code, sentence in plans.warnings(plan, self._settings.silence):
                log.warning("warning[%s]: %s", code, sentence)
            self._start_workers()
            for each in self.prepared:
                self._runtime.add_mapping(each.payload)
            self._start_mappings(access)
            self._start_control()
            self._undo = undo.pop_all()

    @property
    def closed(self) -> bool:
        """Whether the engine was closed."""
        return self._runtime.closed

    def durations(self) -> tuple[list[tuple[float, int]], float]:
        """Give how many invocations took at most so many seconds, and the seconds of all."""
        return self._shop.durations.cumulative()

    @property
    def streams(self) -> Streams:
        """The embedded streams of this engine."""
        return Streams(self.ask_streams)

    def ask_streams(self, document: bytes) -> bytes:
        """Carry out a command of embedded streams, as JSON."""
        return self._alive().streams(document)

    @property
    def queues(self) -> Queues:
        """The embedded queues of this engine."""
        return Queues(self.ask_queues)

    def ask_queues(self, document: bytes) -> bytes:
        """Carry out a command of embedded queues, as JSON."""
        return self._alive().queues(document)

    def snapshot(self) -> dict[str, Any]:
        """Give a picture of every mapping, shard and lane at this moment."""
        try:
            self._last = json.loads(self._alive().snapshot())
        except RuntimeClosed:
            if self._drained is None:
                raise
        return self._last

    def pause(self, mapping: str) -> None:
        """Start nothing new for a mapping, by its id or its function's name."""
        self._alive().pause(self.mapping_id(mapping))

    def resume(self, mapping: str) -> None:
        """Go on after `pause`."""
        self._alive().resume(self.mapping_id(mapping))

    def put(self, stream: str, records: Iterable[Record]) -> list[dict[str, Any]]:
        """Append records to an embedded stream: pairs of key and data, or boto3's entries."""
        return self.streams.put(stream.removeprefix("stream:"), records)

    def send(self, queue: str, messages: Iterable[Message]) -> list[dict[str, Any]]:
        """Send messages to an embedded queue: texts, or boto3's entries."""
        return self.queues.send(queue.removeprefix("queue:"), messages)

    def advance(self, milliseconds: int) -> None:
        """Move a manual clock."""
        self._alive().advance(milliseconds)

    def checkpoints(self, mapping: str) -> list[dict[str, Any]]:
        """Give what is saved for a mapping."""
        rows: list[dict[str, Any]] = json.loads(self._alive().checkpoints(mapping))
        return rows

    def move_checkpoints(
        self, mapping: str, command: dict[str, Any], asker: Asker
    ) -> dict[str, Any]:
        """Carry out an operator's move of a mapping's checkpoints; see `penstock.moves`."""
        return Moves(self._alive(), self.audit).run(self.mapping_id(mapping), command, asker)

    def drain(self, timeout: float | None = None) -> Report:
        """Finish what runs, save, and report; nothing new starts any more."""
        limit = self._settings.drain_timeout if timeout is None else timeout
        if self._drained is None:
            self.snapshot()
            started = time.monotonic()
            self._drained = outside(lambda: self._alive().drain(limit))
            self._drain_seconds = time.monotonic() - started
        return self.report()

    def report(self) -> Report:
        """Sum up so far."""
        return make_report(
            self.snapshot()["mappings"],
            drained=bool(self._drained),
            duration_seconds=time.monotonic() - self._started_at,
            drain_seconds=self._drain_seconds,
            p99_ms=self._shop.durations.percentile_ms(0.99),
        )

    def close(self) -> None:
        """Stop at once; what runs stays unsettled. Safe to call again."""
        if self._forked:
            return
        with self._closing:
            self._undo.close()

    def mapping_id(self, text: str) -> str:
        """Find a mapping by its id, the beginning of it, its function or its source."""
        names = [p for p in self.prepared if text in {p.id, p.function.name, p.source.uri}]
        found = names or [p for p in self.prepared if len(text) >= 4 and p.id.startswith(text)]
        if len(found) == 1:
            return found[0].id
        known = ", ".join(f"{p.function.name} ({p.id})" for p in self.prepared)
        raise MappingNotFound(
            f"{'more than one' if found else 'no'} mapping is called {text!r}",
            hint=f"mappings: {known}",
        )

    def running(self) -> list[dict[str, Any]]:
        """Give what handlers are doing: for each invocation its age and the user's stack."""
        frames = sys._current_frames()  # noqa: SLF001
        now = time.time()
        return [
            {
                "mapping": mapping,
                "invocation": invocation,
                "function": each.target.function.name,
                "shard": each.shard,
                "seconds": now - each.since,
                "stack": _stack(each, frames),
            }
            for (mapping, invocation), each in list(self._shop.running.items())
        ]

    def children(self) -> list[dict[str, Any]]:
        """Give the state of every child process: its slot, pid, state, since when, and why."""
        pools = [pool for pool in self._pools if isinstance(pool, ProcessPool)]
        return [picture for pool in pools for picture in pool.pictures()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._forked:
            return
        try:
            if not self._runtime.closed:
                self.drain()
        finally:
            self.close()

    def _alive(self) -> _bridge.Runtime:
        if self._forked:
            raise ForkedProcess(
                "the engine was started before this process was forked",
                hint='start penstock after forking, or use the start method "spawn"',
            )
        return self._runtime

    def _start_runtime(self, access: Access) -> None:
        log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}"
        environment = None
        functions = self._functions_to_run()
        if self._settings.lambda_environment and functions:
            environment = LambdaEnvironment(functions, log_stream)
            environment.install()
            self._undo.callback(environment.remove)
        sizes = self._settings.sizes()
        pools = {each.pool for each in functions}
        document = self._settings.runtime_document(
            {pool: sizes[pool] for pool in sorted(pools)}, telemetry.level_for_runtime()
        )
        self._runtime = _bridge.Runtime(json.dumps(document).encode())
        self._shop = Shop(
            runtime=self._runtime,
            targets={(each.id, each.function.name): _target(each) for each in self.prepared},
            failures=FailureLog(),
            log_stream=log_stream,
            manual_clock=self._settings.manual_clock,
            environment=environment,
        )
        self._pools = []
        if THREADS in pools:
            self._pools.append(ThreadPool(self._shop, sizes[THREADS]))
        if AIO in pools:
            self._pools.append(LoopPool(self._shop, sizes[AIO]))
        if PROCESS in pools:
            children = self._settings.children
            setup = make_setup(self._shop, functions, children)
            self._pools.append(ProcessPool(self._shop, sizes[PROCESS], children, setup))
        self._names = {p.id: p.function.name for p in self.prepared}
        pump = telemetry.Pump(self._runtime, self._names, self._settings.silence)
        errands = Errands(self._runtime, access)
        deliveries = Deliveries(self._runtime, self.prepared, access, self._keepers)
        self._undo.callback(self._stop, pump, errands, deliveries)
        pump.start()
        errands.start()
        deliveries.start()
        access.attach(self._runtime)
        self._make_streams()
        self._make_queues()

    def _make_streams(self) -> None:
        there = {stream["name"] for stream in self.streams.names()}
        for name, shards in self._settings.streams.items():
            if name not in there:
                self.streams.create(name, shards)

    def _functions_to_run(self) -> list[Function]:
        """Give the functions that mappings call, or may call once the API has made them."""
        if self._serves_mappings():
            return list(self._functions.values())
        return list({each.function.name: each.function for each in self.prepared}.values())

    def _serves_mappings(self) -> bool:
        return self._settings.state is not None or self._settings.api is not None

    def _start_mappings(self, access: Access) -> None:
        if not self._serves_mappings():
            return
        pollers = Pollers(
            runtime=self._runtime,
            access=access,
            settings=self._settings,
            functions=self._functions,
            shop=self._shop,
            prepared=self.prepared,
            names=self._names,
            snapshot=self.snapshot,
        )
        plane = ControlPlane(self._settings, self._functions, pollers)
        self._undo.callback(plane.stop)
        plane.start(self.prepared)
        self.service = plane.service

    def _make_queues(self) -> None:
        if not self._settings.queues:
            return
        there = {queue["name"] for queue in self.queues.names()}
        for name, options in in_order(self._settings.queues).items():
            if name not in there:
                self.queues.create(name, options)

    def _start_workers(self) -> None:
        for pool in self._pools:
            pool.start()

    def _start_control(self) -> None:
        from penstock.api.server import serve_address, serve_socket

        if self._settings.state is not None:
            control = serve_socket(self, self._settings.state)
            self._undo.callback(control.stop)
        if self._settings.api is not None:
            assert self.service is not None, "whoever serves the API keeps mappings"
            server = serve_address(self, self.service, self._settings)
            self._undo.callback(server.stop)
            self.api = server.address
            scheme = "http" if self._settings.api_tls is None else "https"
            log.info("the mapping API answers on %s://%s", scheme, self.api)

    def _stop(self, pump: telemetry.Pump, errands: Errands, deliveries: Deliveries) -> None:
        outside(lambda: self._runtime.close(_CLOSE_SECONDS))
        pump.stop()
        errands.join(_JOIN_SECONDS)
        deliveries.join(_JOIN_SECONDS)
        for pool in self._pools:
            pool.join(_JOIN_SECONDS)

    def _plan(self) -> list[Planned]:
        sizes = self._settings.sizes()
        for each in self.prepared:
            if each.mapping.on_failure and each.mapping.on_failure.startswith("stream:"):
                self._described(each, each.mapping.on_failure.removeprefix("stream:"))
        return [self._planned(each, sizes[each.function.pool]) for each in self.prepared]

    def _planned(self, each: Prepared, slots: int) -> Planned:
        if each.source.is_queue:
            return planned_queue(each, self._queue_of(each), slots)
        first_start = not self.checkpoints(each.id)
        return planned_stream(each, self._shards_of(each), slots, first_start=first_start)

    def _queue_of(self, each: Prepared) -> QueueFacts | None:
        if not each.source.embedded:
            return each.queue
        name = each.source.name
        try:
            return embedded_facts(self.queues, name)
        except SourceError as error:
            error.where = str(each.mapping.origin)
            error.hint = (
                f"make it with penstock queue create {name}, or App(queues={{{name!r}: {{}}}})"
            )
            raise

    def _shards_of(self, each: Prepared) -> int | None:
        if each.source.kind != "stream":
            return each.open_shards
        shards = self._described(each, each.source.name)["shards"]
        return sum(1 for shard in shards if not shard["closed"])

    def _described(self, each: Prepared, stream: str) -> dict[str, Any]:
        try:
            return self.streams.describe(stream)
        except SourceError as error:
            error.where = str(each.mapping.origin)
            error.hint = (
                f"make it with penstock stream create {stream}, or App(streams={{{stream!r}: 1}})"
            )
            raise


def outside(call: Callable[[], T]) -> T:
    """Run a call that waits in Rust on another thread, so that this one still hears Ctrl-C."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 -- raised again by the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="penstock-wait")
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if errors:
        raise errors[0]
    return results[0]


def _target(each: Prepared) -> Target:
    return Target(
        function=each.function,
        function_arn=each.document["FunctionArn"],
        source=each.source.uri,
    )


def _stack(running: Running, threads: dict[int, Any]) -> list[str]:
    if running.child is not None:
        return [f"in the child process {running.child}"]
    if running.task is not None:
        stack = running.task.get_stack()
        frames = [(f.f_code.co_filename, f.f_lineno, f.f_code.co_name) for f in stack]
    else:
        summary = traceback.extract_stack(threads.get(running.thread or 0))
        frames = [(f.filename, f.lineno or 0, f.name) for f in summary]
    inside = os.path.join(os.path.dirname(__file__), "workers")  # noqa: PTH118, PTH120
    last = max((i for i, f in enumerate(frames) if f[0].startswith(inside)), default=-1)
    return [f"{file}:{line} in {name}" for file, line, name in frames[last + 1 :]]


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in list(_engines):
        engine._forked = True  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)
