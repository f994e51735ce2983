"""A security token service that tests command: numbered keys, each good for 30 s of its clock.

It answers `AssumeRole` and `GetCallerIdentity`, checks no signature, and refuses when told to. Its
clock runs with the machine's, and tests move it.
"""

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

ACCOUNT = "123456789012"
LIVES_S = 30

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class Sts:
    """What was asked and given."""

    def __init__(self) -> None:
        self.url = ""
        self.refuses = False
        self.roles: list[str] = []
        self.ends: list[datetime] = []
        self.ahead = timedelta()
        self._lock = threading.Lock()

    @property
    def keys(self) -> list[str]:
        """The ids of the access keys that were given, in their order."""
        return [key_id(number) for number in range(len(self.roles))]

    def now(self) -> datetime:
        """Gives the time by its clock."""
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        """Moves its clock forward."""
        self.ahead += timedelta(seconds=seconds)

    @property
    def ended(self) -> set[str]:
        """The ids of the access keys whose time is over."""
        now = self.now()
        return {key_id(number) for number, end in enumerate(self.ends) if end <= now}

    def answer(self, request: dict[str, list[str]]) -> tuple[int, str]:
        """Gives the status and the body of an answer."""
        action = request["Action"][0]
        if self.refuses:
            return 403, _refusal(f"not authorized to perform sts:{action}")
        if action == "GetCallerIdentity":
            return 200, _answer(action, f"<Account>{ACCOUNT}</Account>")
        with self._lock:
            number = len(self.roles)
            self.roles.append(request["RoleArn"][0])
            end = (self.now() + timedelta(seconds=LIVES_S)).replace(microsecond=0)
            self.ends.append(end)
        return 200, _answer(
            action,
            f"<Credentials><AccessKeyId>{key_id(number)}</AccessKeyId>"
            f"<SecretAccessKey>secret-{number}</SecretAccessKey>"
            f"<SessionToken>token-{number}</SessionToken>"
            f"<Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>",
        )


def key_id(number: int) -> str:
    """Gives the id of the access key that is given at this turn."""
    return f"ASIAPENSTOCK{number:06}"


@contextlib.contextmanager
def sts() -> Iterator[Sts]:
    """Runs the service on a free port of 127.0.0.1."""
    service = Sts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, text = service.answer(parse_qs(sent))
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Stays quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        service.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield service
        finally:
            http.shutdown()
            thread.join()


def _answer(action: str, result: str) -> str:
    return (
        f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
    )


def _refusal(message: str) -> str:
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type>'
        f"<Code>AccessDenied</Code><Message>{escape(message)}</Message></Error></ErrorResponse>"
    )
