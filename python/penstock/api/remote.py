"""Asks a running mapping API: over the control socket of a state directory, or at a URL.

Rules: an error of the API is raised as a Refusal with AWS's code and sentence; nothing is tried
again; a secret is sent to the URL that it was given for and nowhere else.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from penstock.api.client import connect
from penstock.api.control_names import HEADER
from penstock.errors import ConfigurationError, PenstockError, Refusal
from penstock.settings import DEFAULT_REGION

Connect = Callable[[], http.client.HTTPConnection]
# Gives headers that say who asks: for a method, a URL, headers and a body.
Authorize = Callable[[str, str, dict[str, str], bytes], dict[str, str]]

_MAPPINGS: Final = "/2015-03-31/event-source-mappings"
_TIMEOUT_SECONDS: Final = 30.0


class Remote:
    """The mappings of a running penstock."""

    def __init__(
        self,
        open_connection: Connect,
        name: str,
        *,
        base: str = "http://localhost",
        authorize: Authorize | None = None,
    ) -> None:
        self._open = open_connection
        self._name = name
        self._base = base
        self._authorize = authorize

    def described(self) -> list[dict[str, Any]]:
        """Give every mapping, as the API describes it."""
        return list(self._pages())

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make a mapping."""
        return self.ask("POST", _MAPPINGS, request)

    def update(self, uuid: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Change a mapping."""
        return self.ask("PUT", f"{_MAPPINGS}/{quote(uuid)}", request)

    def delete(self, uuid: str) -> dict[str, Any]:
        """Delete a mapping."""
        return self.ask("DELETE", f"{_MAPPINGS}/{quote(uuid)}")

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Make one request."""
        connection = self._open()
        headers = {"Host": urlsplit(self._base).netloc, HEADER: "1"}
        sent = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            sent = json.dumps(body).encode()
        if self._authorize is not None:
            headers = self._authorize(method, self._base + path, headers, sent or b"")
        try:
            connection.request(method, path, body=sent, headers=headers)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read() or b"{}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise PenstockError(
                f"{self._name} did not answer: {error}",
                code="PS700",
                retryable=True,
                hint="start it with penstock serve, or name another with --url or --state",
            ) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise Refusal(
                str(answer.get("message") or answer.get("Message") or response.reason),
                type=response.getheader("x-amzn-ErrorType", "ServiceException"),
                hint=answer.get("Hint"),
            )
        return answer

    def _pages(self) -> Iterator[dict[str, Any]]:
        marker = ""
        while True:
            page = self.ask("GET", _MAPPINGS + marker)
            yield from page["EventSourceMappings"]
            if "NextMarker" not in page:
                return
            marker = "?Marker=" + quote(page["NextMarker"], safe="")


class Owner(Remote):
    """The mappings of the owner of a state directory, who also says where each comes from."""

    def __init__(self, state: Path) -> None:
        def open_connection() -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection("localhost", timeout=_TIMEOUT_SECONDS)
            connection.sock = connect(state)
            return connection

        super().__init__(open_connection, f"the engine on {state}")

    def described(self) -> list[dict[str, Any]]:
        """Give every mapping, and where it comes from."""
        listed: list[dict[str, Any]] = self.ask("GET", "/v1/mappings")["mappings"]
        return listed


def at_url(url: str, authorize: Authorize | None = None) -> Remote:
    """Ask the API at a URL; what says who asks is added by `authorize`."""
    parts = urlsplit(url)
    known = parts.scheme in {"http", "https"} and parts.username is None and parts.query == ""
    if not known or not parts.hostname or parts.path not in {"", "/"}:
        raise ConfigurationError(
            f"{url!r} is not the URL of a mapping API",
            code="PS102",
            path="--url",
            hint="write for example http://127.0.0.1:9401",
        )
    host, port = parts.hostname, _port(parts, url)

    def open_connection() -> http.client.HTTPConnection:
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        bundle = os.environ.get("AWS_CA_BUNDLE")
        trusted = ssl.create_default_context(cafile=bundle or None)
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=trusted)

    name = f"the mapping API at {url}"
    return Remote(
        open_connection, name, base=f"{parts.scheme}://{parts.netloc}", authorize=authorize
    )


def bearer(token: str) -> Authorize:
    """Be known by a token."""

    def authorize(_method: str, _url: str, headers: dict[str, str], _body: bytes) -> dict[str, str]:
        return headers | {"Authorization": f"Bearer {token}"}

    return authorize


def signed() -> Authorize:
    """Be known by a signature, with the credentials and the region that boto3 would use."""
    from botocore.auth import SigV4Auth  # here, since botocore takes a while
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    from penstock.api.signatures import SERVICE

    try:
        session = Session()
        credentials: Any = session.get_credentials()
        region = session.get_config_variable("region") or DEFAULT_REGION
    except BotoCoreError as error:
        raise ConfigurationError(f"--sign: {error}", code="PS202", path="--sign") from error
    if credentials is None:
        raise ConfigurationError(
            "--sign found no credentials to sign with",
            code="PS202",
            path="--sign",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of penstock keys "
            "create, or AWS_PROFILE",
        )

    def authorize(method: str, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        request: Any = AWSRequest(method, url, headers=headers, data=body)
        SigV4Auth(credentials.get_frozen_credentials(), SERVICE, region).add_auth(request)
        return dict(request.headers.items())

    return authorize


def _port(parts: SplitResult, url: str) -> int:
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise ConfigurationError(
            f"{url!r} has no port that is one", code="PS102", path="--url"
        ) from None
