"""Serves the control socket of a state directory, and the mapping API, each in a thread of its own.

Rules: the socket is a Unix socket with mode 0600; one that a killed owner left behind is replaced,
which only the owner of the state directory may do; the threads leave with the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock.api.listener import Listener
from penstock.errors import ConfigurationError
from penstock.plan_api import api_warnings
from penstock.settings import DEFAULT_REGION, Address, Settings
from penstock.workers import main_thread_gone

if TYPE_CHECKING:
    from penstock.api.gate import Gate
    from penstock.engine import Engine
    from penstock.mappings import MappingService
    from penstock.tls import Tls

log = logging.getLogger("penstock.control")

SOCKET: Final = "control.sock"
_STOP_SECONDS: Final = 2.0


class Server:
    """An application of Starlette's on one listening socket."""

    def __init__(
        self,
        name: str,
        listener: socket.socket,
        make_application: Callable[[], Any],
        closed: Callable[[], None] = lambda: None,
        tls: Tls | None = None,
    ) -> None:
        self._tls = tls
        self._listener = listener
        self._bound = listener.getsockname()
        self._make_application = make_application
        self._closed = closed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=name)
        self._thread.start()

    @property
    def address(self) -> Address:
        """Where it listens, when that is an address."""
        host, port, *_ = self._bound
        return Address(host=host, port=port)

    def stop(self) -> None:
        """Stop answering."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)

    def _serve(self) -> None:
        import uvicorn  # here, so that starting an engine does not wait for it

        leaving, tls = self._stopping, self._tls

        class Leaving(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                if tls is not None:
                    bound_handshakes(asyncio.get_running_loop())
                await super().startup(sockets)

            async def on_tick(self, counter: int) -> bool:
                return leaving.is_set() or main_thread_gone() or await super().on_tick(counter)

        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        try:
            from penstock.api.connections import HEAD_BYTES_MAX, Connection, bound_handshakes

            config = uvicorn.Config(
                self._make_application(),
                loop="asyncio",
                http=Connection,
                h11_max_incomplete_event_size=HEAD_BYTES_MAX,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                # Who asks is who is connected: a header that names another is anybody's to write.
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
            config.load()
            config.ssl = None if tls is None else tls.context
            Leaving(config).run(sockets=[self._listener])
        except Exception:
            log.exception("%s has ended; it answers no more", self._thread.name)
        finally:
            self._listener.close()
            self._closed()


def serve_socket(engine: Engine, state: Path) -> Server:
    """Answer other terminals on the control socket of a state directory."""

    def application() -> Any:
        from penstock.api.control import make_control

        return make_control(engine)

    def closed() -> None:
        with contextlib.suppress(OSError):
            (state / SOCKET).unlink()

    return Server("penstock-control", listen(state), application, closed)


def serve_address(engine: Engine, service: MappingService, settings: Settings) -> Server:
    """Answer the mapping API on an address, and those who watch the engine."""

    def application() -> Any:
        from penstock.api.edge import Edge
        from penstock.api.health import health_routes
        from penstock.api.routes import make_api
        from penstock.api.trail import Trail

        trail = Trail(engine.audit)
        api = make_api(service, health_routes(engine), trail)
        return Edge(api, gate=make_gate(settings), hosts=settings.allowed_hosts)

    address = settings.api
    assert address is not None, "it was asked for"
    for code, sentence in api_warnings(settings):
        log.warning("warning[%s]: %s", code, sentence)

    return Server("penstock-api", bind(address), application, tls=settings.api_tls)


def make_gate(settings: Settings) -> Gate:
    """Give what finds out who asks, as the settings have it."""
    from penstock.api.gate import Gate
    from penstock.api.keys import KeyRing

    keys = None
    if settings.api_keys:
        assert settings.state is not None, "settings without one were refused"
        keys = KeyRing(settings.state)
        if not keys.all():
            log.warning("there are no keys yet, so nobody is answered: penstock keys create")
    return Gate(
        region=settings.region or DEFAULT_REGION,
        account=settings.account,
        token=None if settings.api_token is None else settings.api_token.text,
        keys=keys,
    )


def bind(address: Address) -> socket.socket:
    """Listen on an address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With its protocol named, or asyncio would leave Nagle's algorithm on: 40 ms for an answer.
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"the mapping API cannot listen on {address}: {error.strerror or error}",
            code="PS103",
            path="api",
            hint="choose another port, or 0 for any that is free",
        ) from None
    except BaseException:
        listener.close()
        raise
    return listener


def listen(state: Path) -> socket.socket:
    """Listen on the directory's socket."""
    listener = Listener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(state) as address:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)  # noqa: PTH108 -- the address may go by way of /proc
            listener.bind(address)
            os.chmod(address, 0o600)  # noqa: PTH101
        listener.listen(64)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def socket_address(state: Path) -> Iterator[str]:
    """Give a name of the socket that is short enough for a Unix address, whatever the path."""
    path = str(state / SOCKET)
    if len(os.fsencode(path)) < 100:
        yield path
        return
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)
