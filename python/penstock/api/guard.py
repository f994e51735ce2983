"""Refuses requests that the mapping API does not answer: foreign hosts, and what web pages send.

Rules: the Host is on the list, on every route, so that no name can be pointed at this machine; a
change carries a header that a page cannot add without being asked first, and JSON when it has a
body; an Origin, or a Sec-Fetch-Site, when there is one, is our own; there are no CORS headers.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from penstock.api.codec import answer
from penstock.api.control_names import HEADER

HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# Where a request's scope holds the hosts of its server, when those are not only our own.
ALLOWED: Final = "penstock.hosts"
_READING: Final = frozenset({"GET", "HEAD"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})


def check_request(request: Request) -> Response | None:
    """Give the answer to a request that is refused, None for one that may go on."""
    hosts = request.headers.getlist("host")
    allowed = request.scope.get(ALLOWED, HOSTS)
    if len(hosts) != 1 or _host(hosts[0]) not in allowed:
        return _refused("this is not a host that penstock answers for")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers["host"]:
        return _refused("the request comes from another origin")
    if request.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return _refused("the request comes from another site")
    if request.method in _READING:
        return None
    if "authorization" not in request.headers and HEADER not in request.headers:
        return _refused(f"a change needs an Authorization or an {HEADER} header")
    if _has_body(request) and not _is_json(request):
        return _refused("a change needs a body of type application/json")
    return None


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def _is_json(request: Request) -> bool:
    """Lambda's own clients send no type, or that of bytes, with the payload of an invocation."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.url.path.rstrip("/").endswith("/invocations"):
        return kind in {"application/json", "application/octet-stream", ""}
    return kind in {"application/json", "application/x-amz-json-1.1", "application/x-amz-json-1.0"}


def _refused(message: str) -> Response:
    response = answer({"Message": message}, 403)
    response.headers["x-amzn-ErrorType"] = "AccessDeniedException"
    return response
