"""Tests the network edge: every route and method against those who should not get through."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.routing import Route

from penstock.api import connections, listener, server
from penstock.api.attempts import Attempts
from penstock.api.connections import HEAD_BYTES_MAX
from penstock.api.edge import Edge
from penstock.api.gate import Gate
from penstock.api.health import health_routes
from penstock.api.keys import KeyRing
from penstock.api.routes import PAYLOAD_BYTES_MAX, make_api
from penstock.errors import ConfigurationError
from penstock.plan_api import api_warnings
from penstock.settings import Address, make_settings, read_token
from tests.python.unit.api_stage import MAPPINGS, Stage

TOKEN = "b7c1" * 16
KNOWN = {"authorization": f"Bearer {TOKEN}"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# A DELETE has no use for a body, so that it is done whatever is sent along.
WITHOUT_DELETE = tuple(method for method in METHODS if method != "DELETE")
BODY = json.dumps({"FunctionName": "my-function", "BatchSize": 7}).encode()

Call = Callable[[str, str], tuple[int, Any]]


class Watched:
    """As much of an engine as those who watch it need."""

    closed = False

    def snapshot(self) -> dict[str, Any]:
        return {"draining": False, "mappings": [], "now": 0, "attach_wait_seconds": 0.0}

    def durations(self) -> Any:
        return [(float("inf"), 0)], 0.0


class Guarded(Stage):
    """A stage behind the edge, with one mapping."""

    def __init__(
        self,
        body_seconds: float = 30.0,
        token: str | None = TOKEN,
        home: Path | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        super().__init__()
        self.uuid = self.create().body["UUID"]
        self.settle()
        application = make_api(self.service, health_routes(cast(Any, Watched())))
        self.paths = sorted(
            route.path.replace(":path", "").format(
                uuid=self.uuid, name="my-function", arn=f"arn:{self.uuid}"
            )
            for route in application.routes
            if isinstance(route, Route)
        )
        hosts = frozenset({"penstock.internal"})
        self.keys = KeyRing(home) if home is not None else None
        gate = Gate(
            region="us-east-1",
            account="123456789012",
            token=token,
            keys=self.keys,
            attempts=attempts or Attempts(1_000_000),
        )
        self.api = cast(Any, Edge(application, gate=gate, hosts=hosts, body_seconds=body_seconds))

    def kept(self) -> Any:
        return [self.service.page(source=None, function=None, marker=None, most=None)]


async def with_a_slow_body(
    stage: Guarded, method: str, path: str, headers: Mapping[str, str] = KNOWN
) -> tuple[int, int]:
    """Send the beginning of a body; gives the status, and how often more was waited for."""
    sent = {
        "host": "localhost:9401", "content-type": "application/json", "content-length": "99",
    } | dict(headers)  # fmt: skip
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(k.encode(), v.encode()) for k, v in sent.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 9401),
    }  # fmt: skip
    parts = [{"type": "http.request", "body": b"{", "more_body": True}]
    told: list[Any] = []
    waits = 0

    async def receive() -> Any:
        nonlocal waits
        if parts:
            return parts.pop()
        waits += 1
        return await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        told.append(message)

    await asyncio.wait_for(cast(Any, stage.api)(scope, receive, send), 30)
    return told[0]["status"], waits


# Who asks, and what every one of them is answered everywhere.
STRANGERS: dict[str, tuple[dict[str, str | None], int]] = {
    "no token": ({"authorization": None, "x-penstock-request": "1"}, 401),
    "an empty token": ({"authorization": "Bearer "}, 401),
    "a wrong token": ({"authorization": "Bearer " + "0" * 64}, 401),
    "the beginning of the token": ({"authorization": f"Bearer {TOKEN[:-1]}"}, 401),
    "more than the token": ({"authorization": f"Bearer {TOKEN}0"}, 401),
    "another scheme": ({"authorization": f"Basic {TOKEN}"}, 401),
    "a signature": (
        {"authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request"},
        403,
    ),
    "a foreign host": ({"host": "evil.example"}, 403),
    "a host that is like ours": ({"host": "penstock.internal.evil.example"}, 403),
    "a foreign origin": ({"origin": "http://evil.example"}, 403),
    "no origin": ({"origin": "null"}, 403),
    "a foreign page": ({"sec-fetch-site": "cross-site"}, 403),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_strangers_get_through_on_no_route_by_no_method(who: str) -> None:
    stage = Guarded()
    before, (headers, status) = stage.kept(), STRANGERS[who]
    for path in [*stage.paths, "/", "/nothing", "/docs", "/openapi.json"]:
        for method in METHODS:
            sent = None if method in {"GET", "HEAD", "OPTIONS", "TRACE"} else BODY
            answer = stage.ask(method, path, sent, KNOWN | headers)
            # A change without any Authorization needs our header, which a page cannot send.
            assert answer.status == status, (method, path)
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert TOKEN not in str(answer)
    assert stage.kept() == before


def test_a_body_that_is_too_large_is_read_by_no_route() -> None:
    stage = Guarded()
    before = stage.kept()
    huge = b" " * (PAYLOAD_BYTES_MAX + 1)
    refused = set()
    for path in stage.paths:
        for method in WITHOUT_DELETE:
            answer = stage.ask(method, path, huge, KNOWN)
            assert answer.status < 500, (method, path)
            if method in {"POST", "PUT"} and answer.status != 405:
                assert answer.status == 413, (method, path)
                assert answer.headers["connection"] == "close"
                refused.add(method)
    assert refused == {"POST", "PUT"}
    assert stage.kept() == before


def test_a_body_that_does_not_arrive_is_waited_for_by_no_route() -> None:
    stage = Guarded(body_seconds=0.01)
    before = stage.kept()
    waited = set()
    for path in stage.paths:
        for method in WITHOUT_DELETE:
            status, _ = asyncio.run(with_a_slow_body(stage, method, path))
            assert status < 500, (method, path)
            if method in {"POST", "PUT"} and status != 405:
                assert status == 408, (method, path)
                waited.add(method)
    assert waited == {"POST", "PUT"}
    assert stage.kept() == before


@pytest.mark.parametrize("host", ["penstock.internal", "PENSTOCK.internal:9401", "localhost:1"])
def test_who_has_the_token_is_answered_by_every_allowed_name(host: str) -> None:
    stage = Guarded()
    assert stage.ask("GET", MAPPINGS, None, KNOWN | {"host": host}).status == 200
    assert stage.ask("GET", "/readyz", None, KNOWN | {"host": host}).status == 200
    path = f"{MAPPINGS}/{stage.uuid}"
    assert stage.ask("PUT", path, {"BatchSize": 7}, KNOWN | {"host": host}).status == 202


def test_without_a_token_only_this_machine_is_served() -> None:
    assert Guarded(token=None).ask("GET", MAPPINGS).status == 200
    with pytest.raises(ConfigurationError):
        make_settings(api="0.0.0.0:0")


def test_an_address_that_others_reach_is_served_with_a_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    settings = make_settings(api="0.0.0.0:0", api_token=file, allowed_hosts=["Penstock.Internal"])
    assert settings.api_token is not None
    assert settings.api_token.text == TOKEN
    assert settings.allowed_hosts == {"penstock.internal"}
    assert TOKEN not in repr(settings)


def test_what_others_can_read_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)

    def warned(**options: Any) -> list[str]:
        settings = make_settings(api_token=file, **options)
        told = dict(api_warnings(settings))
        assert TOKEN not in str(told)
        return list(told)

    file.chmod(0o640)
    assert warned(api="127.0.0.1:0") == ["PS809"]
    assert warned(api="0.0.0.0:0") == ["PS809", "PS810"]
    assert warned(api="0.0.0.0:0", silence=["PS810"]) == ["PS809"]
    file.chmod(0o600)
    assert warned(api="127.0.0.1:0") == []


def test_keys_are_asked_for_where_they_can_be_kept() -> None:
    assert make_settings(api="0.0.0.0:0", api_keys=True).api_keys
    with pytest.raises(ConfigurationError, match="state directory"):
        make_settings(api="0.0.0.0:0", api_keys=True, state=":memory:")


@pytest.mark.parametrize("text", ["", "short", "a" * 31, "a" * 513, "a" * 20 + " " + "a" * 20])
def test_a_file_without_one_good_secret_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_token(file)
    assert not text or text not in caught.value.message


def test_a_secret_in_the_place_of_its_file_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_token(TOKEN)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("host", ["", "*", "*.example", "a/b", "host:80", "a b"])
def test_a_name_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError):
        make_settings(allowed_hosts=[host])


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    monkeypatch.setattr(listener, "CONNECTIONS_MAX", 8)
    monkeypatch.setattr(connections.Connection, "head_seconds", 0.5)
    stage = Guarded()
    bound = server.bind(Address(host="127.0.0.1", port=0))
    running = server.Server("penstock-test", bound, lambda: stage.api)
    try:
        yield running.address
    finally:
        running.stop()


def test_a_head_that_drips_is_not_waited_for(address: Address) -> None:
    with socket.create_connection((address.host, address.port), timeout=30) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        assert _drip_until_closed(slow) < 200, "it was closed for its slowness"
        assert time.monotonic() - began < 25


@pytest.mark.parametrize(
    "sent",
    [
        # Hardly too much: what is not read any more could overtake the answer with a reset.
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * HEAD_BYTES_MAX,
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_or_has_too_large_a_head_is_refused(
    address: Address, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections.Connection, "head_seconds", 60)
    with socket.create_connection((address.host, address.port), timeout=30) as asking:
        asking.sendall(sent)
        with contextlib.closing(http.client.HTTPResponse(asking)) as answer:
            answer.begin()
            assert (answer.status, answer.getheader("Connection")) == (400, "close")
            assert answer.getheader("x-amzn-ErrorType") == "InvalidRequestContentException"
            assert "32768 bytes" in json.loads(answer.read())["message"]


def test_connections_have_a_bound_and_those_that_leave_make_room(address: Address) -> None:
    held = [socket.create_connection((address.host, address.port), timeout=30) for _ in range(30)]
    # All are closed in the end: those too many at once, the others for saying nothing.
    for each in held:
        with each:
            assert _is_closed(each)
    # What has just been closed may count for a moment, and who is slow is closed again.
    deadline = time.monotonic() + 60
    while not _is_healthy(address):
        assert time.monotonic() < deadline, "there is no room for another"


def _is_healthy(address: Address) -> bool:
    with socket.create_connection((address.host, address.port), timeout=30) as good:
        try:
            good.sendall(
                f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
            )
            return good.recv(100).startswith(b"HTTP/1.1 200 ")
        except ConnectionError:
            return False


def test_one_connection_too_many_is_closed_until_one_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "CONNECTIONS_MAX", 2)
    with contextlib.ExitStack() as stack:
        bound = stack.enter_context(server.bind(Address(host="127.0.0.1", port=0)))

        def arrive() -> socket.socket:
            return stack.enter_context(socket.create_connection(bound.getsockname(), timeout=30))

        arrive()
        arrive()
        taken = [stack.enter_context(bound.accept()[0]) for _ in range(2)]
        refused = arrive()
        with pytest.raises(BlockingIOError):
            bound.accept()
        assert _is_closed(refused)
        taken[0].close()
        arrive()
        stack.enter_context(bound.accept()[0])


def _is_closed(each: socket.socket) -> bool:
    try:
        return each.recv(1) == b""
    except ConnectionError:
        return True


def _drip_until_closed(slow: socket.socket) -> int:
    slow.settimeout(0.1)
    for sent in range(200):
        try:
            slow.sendall(b"X")
            if slow.recv(1000) == b"":
                return sent
        except TimeoutError:
            continue
        except ConnectionError:
            return sent
    return 200
