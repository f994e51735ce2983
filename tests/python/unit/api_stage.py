"""Puts the mapping API on a stage without an engine: a driver that only notes what it is asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock.api.routes import make_api
from penstock.errors import SourceError
from penstock.handlers import Function, make_function
from penstock.mappings.kept import Kept
from penstock.mappings.service import MappingService, Picture, Policy
from penstock.mappings.store import Store

KINESIS = "arn:aws:kinesis:us-east-2:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:us-east-2:123456789012:table/orders/stream/2019-06-10T19:26:16.525"
QUEUE = "arn:aws:sqs:us-east-2:123456789012:orders"
MAPPINGS = "/2015-03-31/event-source-mappings"
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=a"}


def handler(event: Any, context: Any) -> Any:
    """Answer with the event."""
    return event


@dataclass(slots=True)
class NotingDriver:
    """Runs nothing; finds every stream but those that are missing."""

    missing: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    running: dict[str, Kept] = field(default_factory=dict)
    result: str = "No records processed"
    on_check: Callable[[], None] | None = None
    on_kept: Callable[[Kept], Any] | None = None

    def check(self, mapping: Kept) -> str:
        if self.on_check is not None:
            self.on_check()
        if self.on_kept is not None:
            self.on_kept(mapping)
        if mapping.source in self.missing:
            raise SourceError(f"there is no {mapping.source}", code="PS203")
        return mapping.uuid

    def apply(self, mapping: Kept, ready: Any) -> None:
        if mapping.source in self.broken:
            raise SourceError(f"{mapping.source} cannot be reached", code="PS205")
        self.running[mapping.uuid] = mapping

    def end(self, uuid: str) -> None:
        self.running.pop(uuid, None)

    def forget(self, uuid: str) -> None:
        assert uuid not in self.running

    def recent_pictures(self) -> dict[str, Picture]:
        return self.pictures()

    def pictures(self) -> dict[str, Picture]:
        return {
            uuid: Picture(started=mapping.enabled, resting=not mapping.enabled, result=self.result)
            for uuid, mapping in self.running.items()
        }


@dataclass(slots=True)
class Answer:
    """One answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def type(self) -> str:
        return self.headers["x-amzn-errortype"]

    @property
    def message(self) -> str:
        return str(self.body.get("message") or self.body.get("Message"))


class Stage:
    """A service, its API, and a conductor that works when it is told to."""

    def __init__(self, store: Store | None = None, **policy: Any) -> None:
        self.driver = NotingDriver()
        self.woken: list[str] = []
        self.functions: dict[str, Function] = {
            name: make_function(handler, name=name) for name in ("my-function", "other")
        }
        self.service = MappingService(
            store=store or Store(None),
            driver=self.driver,
            functions=self.functions,
            policy=Policy(**policy),
            wake=self.woken.append,
        )
        self.api = make_api(self.service)

    def settle(self) -> None:
        """Do what the conductor does, for every mapping that waits for it."""
        while self.woken:
            mapping = self.service.kept(self.woken.pop(0))
            if mapping is None:
                continue
            if mapping.state == "Deleting":
                self.driver.end(mapping.uuid)
                self.driver.forget(mapping.uuid)
            else:
                self.driver.apply(mapping, self.service.take_ready(mapping.uuid))
            if mapping.state not in {"Enabled", "Disabled"}:
                self.service.arrive(mapping, None)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Make one request; a body that is not bytes is sent as JSON."""
        sent = (
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        given = {"host": "localhost:9401", "content-length": str(len(sent))}
        given |= SIGNED | ({"content-type": "application/json"} if sent else {})
        changed = given | dict(headers or {})
        sent_headers = {name: value for name, value in changed.items() if value is not None}
        return asyncio.run(self._ask(method, path, sent, sent_headers))

    def create(self, **request: Any) -> Answer:
        """CreateEventSourceMapping with a function and a position."""
        base = {
            "FunctionName": "my-function",
            "EventSourceArn": KINESIS,
            "StartingPosition": "TRIM_HORIZON",
        }
        asked = {key: value for key, value in (base | request).items() if value is not ...}
        return self.ask("POST", MAPPINGS, asked)

    async def _ask(self, method: str, path: str, sent: bytes, headers: dict[str, str]) -> Answer:
        url = urlsplit(path)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": unquote(url.path), "raw_path": url.path.encode(),
            "query_string": url.query.encode(), "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 9401),
        }  # fmt: skip
        parts = [{"type": "http.request", "body": sent, "more_body": False}]
        told: list[Any] = []

        async def receive() -> Any:
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            told.append(message)

        await self.api(scope, receive, send)
        text = b"".join(each.get("body", b"") for each in told[1:])
        found = {k.decode().lower(): v.decode() for k, v in told[0]["headers"]}
        is_text = found.get("content-type", "").startswith("text/")
        body: Any = text if is_text else json.loads(text) if text else None
        return Answer(told[0]["status"], found, body)


def run_apart(call: Callable[[], None]) -> None:
    """Run a call on another thread, to its end."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
