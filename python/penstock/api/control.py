"""Answers other terminals: snapshots, reasons, streams, queues, checkpoints, mappings.

Rules: reading is GET and changes nothing; a change is a POST with a JSON body and a header that no
web page can send unasked; every error is JSON with its code and hint; bodies have a bound.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.api.control_names import HEADER, HOST
from penstock.api.routes import routes
from penstock.api.trail import Trail
from penstock.audit import local_asker
from penstock.errors import ConfigurationError, MappingNotFound, PenstockError, RuntimeClosed

if TYPE_CHECKING:
    from penstock.engine import Engine

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
_SOCKET: Final = "control socket"
_STATUS: Final = ((ConfigurationError, 400), (MappingNotFound, 404), (RuntimeClosed, 503))

Answer = Callable[[Request], Awaitable[Response]]


def make_control(engine: Engine) -> Starlette:
    """Make the application that answers on the control socket."""

    async def snapshot(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(engine.snapshot))

    async def why(_: Request) -> Response:
        picture = await run_in_threadpool(engine.snapshot)
        return JSONResponse(
            {
                "snapshot": picture,
                "running": engine.running(),
                "children": engine.children(),
                "names": names(),
            }
        )

    async def checkpoints(request: Request) -> Response:
        mapping = engine.mapping_id(request.path_params["mapping"])
        rows = await run_in_threadpool(engine.checkpoints, mapping)
        return JSONResponse({"mapping": mapping, "rows": rows})

    async def streams(request: Request) -> Response:
        body = await _body(request)
        answer = await run_in_threadpool(engine.ask_streams, body)
        return Response(answer, media_type="application/json")

    async def queues(request: Request) -> Response:
        answer = await run_in_threadpool(engine.ask_queues, await _body(request))
        return Response(answer, media_type="application/json")

    async def pause(request: Request) -> Response:
        await run_in_threadpool(switch, request.path_params["mapping"], "pause", engine.pause)
        return JSONResponse({})

    async def resume(request: Request) -> Response:
        await run_in_threadpool(switch, request.path_params["mapping"], "resume", engine.resume)
        return JSONResponse({})

    def switch(name: str, action: str, act: Callable[[str], None]) -> None:
        mapping = engine.mapping_id(name)
        with engine.audit.changing(f"mapping.{action}", local_asker(_SOCKET), mapping=mapping):
            act(mapping)

    async def mappings(_: Request) -> Response:
        described = engine.service.described if engine.service is not None else list
        return JSONResponse({"mappings": await run_in_threadpool(described)})

    def names() -> dict[str, dict[str, str]]:
        return {
            each.id: {"function": each.function.name, "source": each.source.uri}
            for each in engine.prepared
        }

    trail = Trail(engine.audit, lambda _: local_asker(_SOCKET))
    served = routes(engine.service, trail) if engine.service is not None else []
    own = [
        Route("/v1/snapshot", _guarded(snapshot), methods=["GET"]),
        Route("/v1/why", _guarded(why), methods=["GET"]),
        Route("/v1/mappings/{mapping:path}/checkpoints", _guarded(checkpoints), methods=["GET"]),
        Route(
            "/v1/mappings/{mapping:path}/checkpoints", _guarded(_mover(engine)), methods=["POST"]
        ),
        Route("/v1/mappings/{mapping:path}/pause", _guarded(pause), methods=["POST"]),
        Route("/v1/mappings/{mapping:path}/resume", _guarded(resume), methods=["POST"]),
        Route("/v1/streams", _guarded(streams), methods=["POST"]),
        Route("/v1/queues", _guarded(queues), methods=["POST"]),
        Route("/v1/mappings", _guarded(mappings), methods=["GET"]),
    ]
    return Starlette(routes=[*own, *served])


def _mover(engine: Engine) -> Answer:
    async def move(request: Request) -> Response:
        command = json.loads(await _body(request))
        if not isinstance(command, dict):
            raise ConfigurationError("the request is not an object", path="body")
        mapping = request.path_params["mapping"]
        asker = local_asker(_SOCKET)
        moved = await run_in_threadpool(engine.move_checkpoints, mapping, command, asker)
        return JSONResponse(moved)

    return move


def _guarded(answer: Answer) -> Answer:
    async def guarded(request: Request) -> Response:
        if request.headers.get("host") not in {HOST, "localhost"}:
            return _refusal(403, "PS700", "this is not a host that penstock answers for")
        if request.method != "GET":
            plain = request.headers.get("content-type") == "application/json"
            if not plain or HEADER not in request.headers:
                return _refusal(403, "PS700", "a change needs JSON and the header of penstock")
        try:
            return await answer(request)
        except PenstockError as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 409)
            return _refusal(status, error.code, error.message, error.hint, type(error).__name__)

    return guarded


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise ConfigurationError("the request is larger than 32 MiB", path="body")
    try:
        json.loads(body)
    except ValueError:
        raise ConfigurationError("the request is not JSON", path="body") from None
    return body


def _refusal(
    status: int, code: str, message: str, hint: str | None = None, kind: str = "PenstockError"
) -> Response:
    document: dict[str, Any] = {"code": code, "message": message, "hint": hint, "kind": kind}
    return JSONResponse(document, status_code=status)
