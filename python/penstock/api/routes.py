"""Speaks the operations of Lambda's mapping API over HTTP, on Starlette.

Rules: the paths with and without their last slash are one; a host that is not allowed is refused on
every route; a change needs a request that a web page cannot send without being asked first; what is
refused changes nothing; nothing in a request names code to import; what only looks is answered at
once, on the loop, since every change of thread costs a turn when a handler computes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.api.codec import answer, read_object, refusal
from penstock.api.functions import DRY_RUN, describe, invoke, read_event, read_invocation
from penstock.api.guard import check_request
from penstock.api.scopes import ADMIN, OPERATE, READ, permit
from penstock.api.trail import Trail
from penstock.api.validation import checked
from penstock.errors import PenstockError, Refusal
from penstock.refusals import DENIED, FAILED, TOO_LARGE, invalid

if TYPE_CHECKING:
    from penstock.mappings import MappingService

log = logging.getLogger("penstock.api")

BODY_BYTES_MAX: Final = 1024 * 1024
PAYLOAD_BYTES_MAX: Final = 6 * 1024 * 1024
_MAPPINGS: Final = "/2015-03-31/event-source-mappings"
_FUNCTIONS: Final = "/2015-03-31/functions"
_TAGS: Final = "/2017-03-31/tags"

Operation = Callable[[Request], Awaitable[Response]]


def make_api(
    service: MappingService, beside: Sequence[Route] = (), trail: Trail | None = None
) -> Starlette:
    """Make the application that answers the mapping API, and routes beside it."""
    return Starlette(
        routes=[*routes(service, trail or Trail()), *beside],
        exception_handlers={HTTPException: _no_operation},
    )


def routes(service: MappingService, trail: Trail) -> list[Route]:
    """Give the routes of the operations."""
    operations = Operations(service, trail)

    def both(method: str, path: str, operation: Operation, needed: str) -> Iterable[Route]:
        guarded = _guarded(operation, needed, trail)
        # The longer one first: a parameter that may hold slashes would take the last one in.
        return (
            Route(spelling, guarded, methods=[method], name=operation.__name__)
            for spelling in (path + "/", path)
        )

    return [
        *both("POST", _MAPPINGS, operations.create, ADMIN),
        *both("GET", _MAPPINGS, operations.page, READ),
        *both("GET", _MAPPINGS + "/{uuid}", operations.get, READ),
        # Whoever operates may switch a mapping on and off; `update` looks at what is asked.
        *both("PUT", _MAPPINGS + "/{uuid}", operations.update, OPERATE),
        *both("DELETE", _MAPPINGS + "/{uuid}", operations.delete, ADMIN),
        *both("GET", _FUNCTIONS, operations.functions, READ),
        *both("GET", _FUNCTIONS + "/{name}", operations.function, READ),
        *both("POST", _FUNCTIONS + "/{name}/invocations", operations.invoke, OPERATE),
        *both("POST", _TAGS + "/{arn:path}", operations.tag, ADMIN),
        *both("DELETE", _TAGS + "/{arn:path}", operations.untag, ADMIN),
        *both("GET", _TAGS + "/{arn:path}", operations.list_tags, READ),
    ]


def most_bytes(request: Request) -> int:
    """Give how large a request's body may be."""
    is_invoke = request.url.path.rstrip("/").endswith("/invocations")
    return PAYLOAD_BYTES_MAX if is_invoke else BODY_BYTES_MAX


class Operations:
    """The operations, from a request to an answer."""

    def __init__(self, service: MappingService, trail: Trail) -> None:
        self._service = service
        self._trail = trail

    async def create(self, request: Request) -> Response:
        """CreateEventSourceMapping."""
        asked = checked("CreateEventSourceMapping", read_object(await _body(request)))
        made = await self._trail.change(
            request, "mapping.create", lambda: self._service.create(asked), asked=asked
        )
        return answer(made, 202)

    async def get(self, request: Request) -> Response:
        """GetEventSourceMapping."""
        return answer(self._service.get(request.path_params["uuid"]))

    async def page(self, request: Request) -> Response:
        """ListEventSourceMappings."""
        asked = checked("ListEventSourceMappings", _query(request))
        found = self._service.page(
            source=asked.get("EventSourceArn"),
            function=asked.get("FunctionName"),
            marker=asked.get("Marker"),
            most=asked.get("MaxItems"),
        )
        return answer(found)

    async def update(self, request: Request) -> Response:
        """UpdateEventSourceMapping."""
        uuid = request.path_params["uuid"]
        asked = read_object(await _body(request))
        if asked.keys() - {"Enabled", "UUID"}:
            permit(request, "UpdateEventSourceMapping", ADMIN)
        # An unknown UUID is told first, of whatever length; the model would judge the length.
        self._service.get(uuid)
        asked = checked("UpdateEventSourceMapping", asked | {"UUID": uuid})
        del asked["UUID"]
        changed = await self._trail.change(
            request,
            "mapping.update",
            lambda: self._service.update(uuid, asked),
            mapping=uuid,
            asked=asked,
            before=lambda: self._service.get(uuid),
        )
        return answer(changed, 202)

    async def delete(self, request: Request) -> Response:
        """DeleteEventSourceMapping."""
        uuid = request.path_params["uuid"]
        gone = await self._trail.change(
            request,
            "mapping.delete",
            lambda: self._service.delete(uuid),
            mapping=uuid,
            before=lambda: self._service.get(uuid),
        )
        return answer(gone, 202)

    async def tag(self, request: Request) -> Response:
        """TagResource."""
        arn = request.path_params["arn"]
        asked = checked("TagResource", read_object(await _body(request)) | {"Resource": arn})
        await self._trail.change(
            request,
            "mapping.tag",
            lambda: self._service.tag(arn, asked["Tags"]),
            mapping=arn.rpartition(":")[2],
            asked=asked,
        )
        return answer(None, 204)

    async def untag(self, request: Request) -> Response:
        """UntagResource."""
        arn = request.path_params["arn"]
        keys = request.query_params.getlist("tagKeys")
        asked = checked("UntagResource", {"Resource": arn, "TagKeys": keys or None})
        await self._trail.change(
            request,
            "mapping.untag",
            lambda: self._service.untag(arn, asked["TagKeys"]),
            mapping=arn.rpartition(":")[2],
            asked=asked,
        )
        return answer(None, 204)

    async def list_tags(self, request: Request) -> Response:
        """ListTags."""
        arn = request.path_params["arn"]
        checked("ListTags", {"Resource": arn})
        return answer({"Tags": self._service.tags(arn)})

    async def functions(self, request: Request) -> Response:
        """ListFunctions."""
        asked = checked("ListFunctions", _query(request))
        found, marker = self._service.functions.page(self._service.identity, asked)
        document: dict[str, Any] = {"Functions": [describe(*each) for each in found]}
        return answer(document | ({"NextMarker": marker} if marker is not None else {}))

    async def function(self, request: Request) -> Response:
        """GetFunction."""
        asked = checked("GetFunction", _named(request))
        found = self._service.functions.find(asked["FunctionName"], asked.get("Qualifier"))
        return answer({"Configuration": describe(*found), "Tags": {}})

    async def invoke(self, request: Request) -> Response:
        """Invoke."""
        asked = read_invocation(request, _named(request))
        found = self._service.functions.find(asked.function, asked.qualifier)
        event = read_event(asked, await _body(request))
        if asked.kind != DRY_RUN:
            await self._trail.called(request, found[1], asked.kind)
        return await invoke(*found, asked, event)


def _guarded(operation: Operation, needed: str, trail: Trail) -> Operation:
    # The first line of an operation's documentation is its name.
    action = (operation.__doc__ or "").rstrip(".")

    async def guarded(request: Request) -> Response:
        refused = check_request(request)
        if refused is not None:
            return refused
        try:
            permit(request, action, needed)
            return await operation(request)
        except Refusal as error:
            if error.type == DENIED:
                await trail.denied(request, f"lambda:{action}", error)
            return refusal(error)
        except PenstockError as error:
            log.warning("%s %s: %s", request.method, request.url.path, error.message)
            return refusal(Refusal(error.message, type=FAILED, hint=error.hint))
        except Exception:
            log.exception("%s %s could not be answered", request.method, request.url.path)
            return refusal(Refusal("An internal error has occurred.", type=FAILED))

    return guarded


async def _body(request: Request) -> bytes:
    parts, size, most = [], 0, most_bytes(request)
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise Refusal(
                f"Request must be smaller than {most} bytes for this operation", type=TOO_LARGE
            )
        parts.append(part)
    return b"".join(parts)


async def _no_operation(request: Request, error: Exception) -> Response:
    refused = check_request(request)
    if refused is not None:
        return refused
    assert isinstance(error, HTTPException)
    found = answer({"message": f"There is no operation {request.method} here."}, error.status_code)
    found.headers["x-amzn-ErrorType"] = "UnknownOperationException"
    return found


def _named(request: Request) -> dict[str, Any]:
    """Give the function that a request names, in its path and its query."""
    qualifier = request.query_params.get("Qualifier") or None
    return {"FunctionName": request.path_params["name"], "Qualifier": qualifier}


def _query(request: Request) -> dict[str, Any]:
    """Give the members that travel in the query of a list."""
    asked: dict[str, Any] = dict(request.query_params)
    if "MaxItems" in asked:
        asked["MaxItems"] = _whole(asked["MaxItems"])
    return asked


def _whole(text: str) -> int:
    try:
        return int(text[:20])
    except ValueError:
        raise invalid(f"MaxItems must be a whole number, not {text[:64]!r}") from None
