"""Tests how region, endpoint and credentials are found, renewed, and missed with a reason."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from penstock.access import Access
from penstock.errands import Errands
from penstock.errors import SourceError
from penstock.sources import parse_source
from tests.python.unit.fake_penstock import FakeRuntime

ORDERS = parse_source("kinesis:orders")
ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"


class Answers(BaseHTTPRequestHandler):
    """Answers as Kinesis does, or as the test wants."""

    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b""
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].split(".")[1]
        self.asked.append(operation)
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Answers.status = 200
    summary = {"StreamARN": ARN, "StreamName": "orders", "OpenShardCount": 3}
    Answers.body = json.dumps({"StreamDescriptionSummary": summary}).encode()
    Answers.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Answers) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
                 "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY",
                 "AWS_SESSION_TOKEN"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")


def runtime() -> FakeRuntime:
    return FakeRuntime(json.dumps({"state_dir": None}).encode())


def failure(access: Access) -> SourceError:
    with pytest.raises(SourceError) as caught:
        access.resolve(ORDERS, where="app.py:3")
    assert caught.value.where == "app.py:3"
    assert caught.value.hint
    assert "hush" not in str(caught.value) + repr(caught.value)
    return caught.value


def test_a_name_is_resolved_to_its_arn(server: str) -> None:
    access = Access(region="eu-west-1", endpoint=server)
    resolved = access.resolve(ORDERS, where=None)
    assert (resolved.arn, resolved.region, resolved.open_shards) == (ARN, "eu-west-1", 3)
    target = runtime()
    access.attach(target)  # type: ignore[arg-type]
    [pushed] = target.access
    assert pushed["access"] == resolved.access
    assert (pushed["region"], pushed["endpoint"]) == ("eu-west-1", server)
    assert pushed["access_key_id"] == "AKIDEXAMPLE"
    assert pushed["secret_access_key"] == "hush"
    assert pushed["session_token"] is None
    assert pushed["expires_at"] is None


def test_the_region_is_the_arns_before_all_others(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    access = Access(endpoint=server)
    assert access.resolve(parse_source(ARN), where=None).region == "eu-west-1"
    assert Access(endpoint=server).resolve(ORDERS, where=None).region == "ap-south-1"


def test_endpoint_bundle_and_proxy_are_as_aws_users_set_them(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", server)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/bundle.pem")
    access = Access(region="eu-west-1")
    access.resolve(ORDERS, where=None)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    target = runtime()
    access.attach(target)  # type: ignore[arg-type]
    assert target.access[0]["endpoint"] == server
    assert target.access[0]["ca_bundle"] == "/etc/bundle.pem"
    assert target.access[0]["proxy"] == "http://proxy:3128"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    access.renew("kinesis/eu-west-1")
    assert target.access[1]["proxy"] is None


def test_no_region() -> None:
    assert failure(Access()).code == "PS201"


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = failure(Access(region="eu-west-1", endpoint="http://127.0.0.1:9"))
    assert error.code == "PS202"
    assert "aws configure" in (error.hint or "")


def test_half_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert failure(Access(region="eu-west-1", endpoint="http://127.0.0.1:9")).code == "PS202"


def test_a_profile_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    error = failure(Access(region="eu-west-1", endpoint="http://127.0.0.1:9"))
    assert error.code == "PS202"
    assert "nobody" in error.message


def test_an_endpoint_that_cannot_be_reached() -> None:
    error = failure(Access(region="eu-west-1", endpoint="http://127.0.0.1:9"))
    assert error.code == "PS205"
    assert error.retryable
    assert "http://127.0.0.1:9" in error.message


def test_an_endpoint_that_is_no_url() -> None:
    assert failure(Access(region="eu-west-1", endpoint="nonsense")).code == "PS205"


@pytest.mark.parametrize(
    ("status", "kind", "code", "says"),
    [
        (400, "ResourceNotFoundException", "PS203", "does not exist in eu-west-1"),
        (400, "AccessDeniedException", "PS204", "is denied"),
        (400, "UnrecognizedClientException", "PS202", "are refused"),
        (400, "ExpiredTokenException", "PS202", "are refused"),
        (400, "SomethingNew", "PS200", "SomethingNew"),
        (500, "InternalFailure", "PS200", "InternalFailure"),
    ],
)
def test_refusals_are_told_by_their_code(
    server: str, status: int, kind: str, code: str, says: str
) -> None:
    Answers.status = status
    Answers.body = json.dumps({"__type": kind, "message": "<no>"}).encode()
    error = failure(Access(region="eu-west-1", endpoint=server))
    assert error.code == code
    assert says in error.message
    assert error.source == "kinesis:orders"


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"StreamDescriptionSummary": {}}'])
def test_an_answer_that_is_not_kinesiss(server: str, body: bytes) -> None:
    Answers.body = body
    assert failure(Access(region="eu-west-1", endpoint=server)).code == "PS206"


def test_an_imitation_that_knows_only_the_older_operation(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: Answers) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        older = self.headers["X-Amz-Target"].endswith(".DescribeStream")
        body = {"StreamDescription": {"StreamARN": ARN}} if older else {}
        refusal = {"__type": "UnknownOperationException", "message": ""}
        text = json.dumps(body or refusal).encode()
        self.send_response(200 if older else 400)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    monkeypatch.setattr(Answers, "do_POST", answer)
    resolved = Access(region="eu-west-1", endpoint=server).resolve(ORDERS, where=None)
    assert (resolved.arn, resolved.open_shards) == (ARN, None)


def served(access: Access, target: FakeRuntime, document: bytes) -> tuple[int, str, bytes | None]:
    """Let the errand thread serve one errand."""
    errands = Errands(target, access)  # type: ignore[arg-type]
    target.errands.append((7, "access", document))
    errands.start()
    for _ in range(1000):
        if target.finished:
            break
        threading.Event().wait(0.01)
    target.close(0)
    assert errands.join(5)
    return target.finished[0]


def test_an_errand_reads_the_same_keys_afresh(server: str) -> None:
    access = Access(region="eu-west-1", endpoint=server)
    name = access.resolve(ORDERS, where=None).access
    target = runtime()
    access.attach(target)  # type: ignore[arg-type]
    document = json.dumps({"access": name, "reason": "ExpiredToken"}).encode()
    assert served(access, target, document) == (7, "done", None)
    assert len(target.access) == 2


def test_changed_keys_are_pushed_without_being_asked(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(region="eu-west-1", endpoint=server)
    access.resolve(ORDERS, where=None)
    target = runtime()
    access.attach(target)  # type: ignore[arg-type]
    access.renew_due()
    assert len(target.access) == 1, "nothing changed"
    entry = access._entries["kinesis/eu-west-1"]
    entry.session.set_credentials("AKIDNEW", "hush", "token")
    access.renew_due()
    assert len(target.access) == 1, "it was looked at a moment ago"
    access._look_at = 0.0
    access.renew_due()
    assert target.access[1]["session_token"] == "token"


def test_an_errand_that_fails_is_finished_with_a_fault(server: str) -> None:
    access = Access(region="eu-west-1", endpoint=server)
    number, outcome, detail = served(access, runtime(), b'{"access": "nobody"}')
    assert (number, outcome) == (7, "denied")
    assert "nobody" in json.loads(detail or b"{}")["message"]


def test_an_errand_that_makes_no_sense_is_finished_too() -> None:
    assert served(Access(), runtime(), b"[]")[1] == "transient"
