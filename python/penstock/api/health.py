"""Answers /healthz, /readyz and /metrics for those who watch a running penstock.

Rules: these only look, and never change anything; the Host must be one that penstock answers for;
an engine that is closed is not healthy; one that drains, or has a mapping that fails, is not ready.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.api.guard import check_request
from penstock.api.metrics import CONTENT_TYPE, Metrics
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.engine import Engine

_UNFRESH: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_UNAVAILABLE: Final = 503

Answer = Callable[[], Awaitable[Response]]


def health_routes(engine: Engine) -> list[Route]:
    """Give the routes of those who watch."""
    metrics = Metrics(engine.snapshot, engine.durations)

    async def healthz() -> Response:
        return _told({"status": "closed"} if engine.closed else {"status": "ok"}, engine.closed)

    async def readyz() -> Response:
        found = readiness(await run_in_threadpool(engine.snapshot), closed=engine.closed)
        return _told(found, found["status"] != "ready")

    async def scrape() -> Response:
        text = await run_in_threadpool(metrics.text)
        return Response(text, headers=_UNFRESH | {"Content-Type": CONTENT_TYPE})

    return [
        Route("/healthz", _guarded(healthz), methods=["GET"]),
        Route("/readyz", _guarded(readyz), methods=["GET"]),
        Route("/metrics", _guarded(scrape), methods=["GET"]),
    ]


def readiness(picture: dict[str, Any], *, closed: bool) -> dict[str, Any]:
    """Say whether a snapshot is that of an engine at work, and if not, why."""
    if closed:
        return {"status": "closed"}
    if picture["draining"]:
        return {"status": "draining"}
    failing = [each["mapping"] for each in picture["mappings"] if each.get("state") == "failing"]
    return {"status": "failing", "mappings": failing} if failing else {"status": "ready"}


def _guarded(look: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        refused = check_request(request)
        if refused is not None:
            return refused
        try:
            return await look()
        except PenstockError as error:
            return _told({"status": "closed", "message": error.message}, True)

    return guarded


def _told(document: dict[str, Any], unavailable: bool) -> Response:
    return JSONResponse(document, _UNAVAILABLE if unavailable else 200, headers=_UNFRESH)
