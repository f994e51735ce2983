"""Tests signatures and keys: what botocore signs is let in, and anything changed is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from penstock.api.attempts import Attempts
from penstock.api.keys import FILE, KeyRing
from penstock.errors import CheckpointError, ConfigurationError
from tests.python.unit.api_stage import KINESIS, MAPPINGS, Answer
from tests.python.unit.test_api_edge import Guarded

HOST = "localhost:9401"
CREATE = {"FunctionName": "other", "EventSourceArn": KINESIS, "StartingPosition": "LATEST"}
WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)


class Signing:
    """A guarded API, and a caller with a key of it."""

    def __init__(
        self,
        home: Path,
        scope: str = "admin",
        attempts: Attempts | None = None,
        body_seconds: float = 30.0,
    ) -> None:
        self.stage = Guarded(body_seconds, token=None, home=home, attempts=attempts)
        self.ring = KeyRing(home)
        self.key, self.secret = self.ring.create(name="ci", scope=scope)

    def headers(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        secret: str | None = None,
        key_id: str | None = None,
        region: str = "us-east-1",
        service: str = "lambda",
        session: str | None = None,
        at: datetime | None = None,
        more: dict[str, str] | None = None,
    ) -> dict[str, str]:
        """Sign as botocore does."""
        kind = {"Content-Type": "application/json"} if body else {}
        given = {"Host": HOST, **kind, **(more or {})}
        request = AWSRequest(method, f"http://{HOST}{path}", headers=given, data=body)
        credentials = Credentials(key_id or self.key.id, secret or self.secret, session)
        signer: Any = SigV4Auth(credentials, service, region)
        now = at or datetime.now(UTC)
        with mock.patch("botocore.auth.get_current_datetime", return_value=now):
            signer.add_auth(request)
        return {name.lower(): str(value) for name, value in request.headers.items()}

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Make one signed request."""
        sent = b"" if body is None else json.dumps(body).encode()
        return self.stage.ask(
            method, path, sent or None, self.headers(method, path, sent, **options)
        )

    def kept(self) -> Any:
        return self.stage.kept()


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    return Signing(tmp_path)


def test_what_botocore_signs_is_answered(signing: Signing) -> None:
    made = signing.ask("POST", MAPPINGS, CREATE)
    assert made.status == 202, made
    uuid = made.body["UUID"]
    signing.stage.settle()
    assert signing.ask("GET", f"{MAPPINGS}/{uuid}").status == 200
    assert signing.ask("GET", f"{MAPPINGS}?MaxItems=1&FunctionName=my-function").status == 200
    tags = f"/2017-03-31/tags/{made.body['EventSourceMappingArn'].replace(':', '%3A')}"
    assert signing.ask("POST", tags, {"Tags": {"a b": "c"}}).status == 204
    assert signing.ask("DELETE", f"{tags}?tagKeys=a%20b&tagKeys=x").status == 204
    called = "/2015-03-31/functions/my-function/invocations"
    kind = {"X-Amz-Invocation-Type": "DryRun"}
    assert signing.ask("POST", called, {}, more=kind).status == 204
    assert signing.ask("DELETE", f"{MAPPINGS}/{uuid}").status == 202


# What is wrong with a signature, and AWS's error for it.
WRONGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "another secret": ({"secret": "x" * 43}, "InvalidSignatureException", WRONG),
    "an unknown key": (
        {"key_id": "PSTKAAAAAAAAAAAAAAAA"},
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    "another region": (
        {"region": "eu-west-1"},
        "InvalidSignatureException",
        "Credential should be scoped to a valid region.",
    ),
    "another service": (
        {"service": "s3"},
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'lambda'.",
    ),
    "an old signature": (
        {"at": timedelta(minutes=-5, seconds=-2)},
        "InvalidSignatureException",
        "Signature expired: ",
    ),
    "one from the future": (
        {"at": timedelta(minutes=6)},
        "InvalidSignatureException",
        "Signature not yet current: ",
    ),
    "a session's token": (
        {"session": "abc"},
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_a_wrong_signature_has_the_error_of_aws(signing: Signing, wrong: str) -> None:
    options, kind, sentence = WRONGS[wrong]
    if "at" in options:
        options = options | {"at": datetime.now(UTC) + options["at"]}
    before = signing.kept()
    answer = signing.ask("POST", MAPPINGS, CREATE, **options)
    assert (answer.status, answer.type) == (403, kind)
    assert answer.message.startswith(sentence)
    assert set(answer.body) <= {"message", "Hint"}
    assert signing.secret not in str(answer)
    assert signing.kept() == before


def test_five_minutes_of_skew_are_allowed(signing: Signing) -> None:
    for minutes in (-4.9, 4.9):
        at = datetime.now(UTC) + timedelta(minutes=minutes)
        assert signing.ask("GET", MAPPINGS, at=at).status == 200


def _other_body(request: dict[str, Any]) -> None:
    request["body"] = json.dumps(CREATE | {"BatchSize": 9}).encode()


def _other_path(request: dict[str, Any]) -> None:
    request["path"] = MAPPINGS + "/"


def _other_query(request: dict[str, Any]) -> None:
    request["path"] = MAPPINGS + "?a=b"


def _other_method(request: dict[str, Any]) -> None:
    request["method"] = "PUT"


def _other_host(request: dict[str, Any]) -> None:
    request["headers"]["host"] = "127.0.0.1:9401"


def _other_type(request: dict[str, Any]) -> None:
    request["headers"]["content-type"] = "application/x-amz-json-1.1"


def _unsigned_header(request: dict[str, Any]) -> None:
    request["headers"]["x-amz-invocation-type"] = "Event"


def _unsigned_payload(request: dict[str, Any]) -> None:
    request["headers"]["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"


def _last_digit(request: dict[str, Any]) -> None:
    told = request["headers"]["authorization"]
    request["headers"]["authorization"] = told[:-1] + ("0" if told[-1] != "0" else "1")


def _without_date(request: dict[str, Any]) -> None:
    del request["headers"]["x-amz-date"]


def _replaced(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(request: dict[str, Any]) -> None:
        told = request["headers"]["authorization"]
        assert old in told
        request["headers"]["authorization"] = told.replace(old, new)

    return change


TAMPERED: dict[str, Callable[[dict[str, Any]], None]] = {
    "another body": _other_body,
    "another path": _other_path,
    "another query": _other_query,
    "another method": _other_method,
    "another host": _other_host,
    "another type": _other_type,
    "an unsigned header": _unsigned_header,
    "an unsigned payload": _unsigned_payload,
    "one digit": _last_digit,
    "no date": _without_date,
    "an unsigned host": _replaced("host;", ""),
    "an unsigned date": _replaced(";x-amz-date", ""),
    "a header twice": _replaced("host;", "host;host;"),
    "a header that is not there": _replaced("host;", "host;x-amz-absent;"),
    "a part twice": _replaced("Signature=", "Signature=, Signature="),
    "a part of its own": _replaced("Signature=", "Other=1, Signature="),
    "no signature": _replaced("Signature=", "Signature=, "),
    "another end": _replaced("aws4_request", "aws5_request"),
    "a short scope": _replaced("/lambda/", "/"),
    "another algorithm": _replaced("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
    "asymmetric": _replaced("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
    "another day": _replaced("/us-east-1", "1/us-east-1"),
    "no word of it": _replaced("AWS4-HMAC-SHA256 Credential", "AWS4-HMAC-SHA256 é\u0000"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_changed_after_signing_is_refused(signing: Signing, name: str) -> None:
    body = json.dumps(CREATE).encode()
    headers = signing.headers("POST", MAPPINGS, body)
    request: dict[str, Any] = {
        "method": "POST", "path": MAPPINGS, "body": body, "headers": headers,
    }  # fmt: skip
    before = signing.kept()
    assert signing.stage.ask("GET", MAPPINGS, None, signing.headers("GET", MAPPINGS)).status == 200
    TAMPERED[name](request)
    answer = signing.stage.ask(**request)
    assert answer.status == 403, answer
    assert answer.type in {
        "InvalidSignatureException", "IncompleteSignatureException", "UnrecognizedClientException",
    }  # fmt: skip
    assert signing.kept() == before


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        (MAPPINGS + "?FunctionName=other", MAPPINGS + "?FunctionName=other%23x"),
        ("/2015-03-31/functions/other", "/2015-03-31//functions/other"),
        ("/2015-03-31/functions/other", "/2015-03-31/x/../functions/other"),
        ("/2015-03-31/functions/other", "/2015-03-31/functions/./other"),
    ],
)
def test_what_a_signer_makes_even_is_not_believed(signing: Signing, path: str, sent: str) -> None:
    assert signing.ask("GET", path).status == 200
    answer = signing.stage.ask("GET", sent, None, signing.headers("GET", path))
    assert (answer.status, answer.type) == (403, "InvalidSignatureException")


@pytest.mark.parametrize("field", ["query_string", "raw_path"])
def test_what_stands_behind_a_fragment_is_not_believed(signing: Signing, field: str) -> None:
    # No client sends a fragment, and the signer drops it, but what answers would see it.
    path = MAPPINGS + "?FunctionName=other"
    headers = signing.headers("GET", path)
    stage = signing.stage.api
    for extra, status in (("", 200), ("#x", 403)):
        told = asyncio.run(_ask_raw(stage, headers, **{field: extra}))
        assert told == status


async def _ask_raw(
    api: Any, headers: dict[str, str], query_string: str = "", raw_path: str = ""
) -> int:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": MAPPINGS, "raw_path": (MAPPINGS + raw_path).encode(),
        "query_string": ("FunctionName=other" + query_string).encode(), "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 9401),
    }  # fmt: skip
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    await api(scope, receive, send)
    return int(told[0]["status"])


def test_a_revoked_key_is_refused_at_once_and_a_new_one_let_in(signing: Signing) -> None:
    assert signing.ask("GET", MAPPINGS).status == 200
    KeyRing(signing.ring._path.parent).revoke("ci")
    assert signing.ask("GET", MAPPINGS).type == "UnrecognizedClientException"
    signing.key, signing.secret = signing.ring.create(name="next", scope="read")
    assert signing.ask("GET", MAPPINGS).status == 200


def test_keys_and_tokens_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signing, began = Signing(tmp_path), time.time()
    monkeypatch.setattr("penstock.api.keys.time.time", lambda: began - 60)
    for name, lifetime in (("over", 59), ("on", 3_600), ("stays", None)):
        kept = [signing.ring.create(name=name, scope="read", lifetime=lifetime)]
        kept += [signing.ring.create(name=f"{name}-t", scope="read", kind="token",
                                     lifetime=lifetime)]  # fmt: skip
        (key, secret), (_, token) = kept
        by_key = signing.ask("GET", MAPPINGS, key_id=key.id, secret=secret)
        by_token = signing.stage.ask("GET", MAPPINGS, None, {"authorization": f"Bearer {token}"})
        for answer in (by_key, by_token):
            if name != "over":
                assert answer.status == 200, name
                continue
            assert (answer.status, answer.type) == (403, "ExpiredTokenException")
            assert answer.message == "The security token included in the request is expired"
        # Who does not have the secret does not learn that there was such a key.
        stranger = signing.ask("GET", MAPPINGS, key_id=key.id, secret="x" * 43)
        assert stranger.type == "InvalidSignatureException"


def test_a_token_of_a_key_ring_is_let_in_and_not_kept(signing: Signing) -> None:
    _, token = signing.ring.create(name="grafana", scope="read", kind="token")
    bearer: dict[str, str | None] = {"authorization": f"Bearer {token}"}
    assert signing.stage.ask("GET", MAPPINGS, None, bearer).status == 200
    file = signing.ring._path
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    # What is kept of a token lets nobody in.
    kept = json.loads(file.read_text())["keys"][1]["secret"]
    answer = signing.stage.ask("GET", MAPPINGS, None, {"authorization": f"Bearer {kept}"})
    assert answer.status == 401


def test_nobody_is_let_in_without_credentials(signing: Signing) -> None:
    answer = signing.stage.ask("GET", MAPPINGS, None, {"authorization": None})
    assert (answer.status, answer.type) == (401, "MissingAuthenticationTokenException")
    assert answer.message == "Missing Authentication Token"


def test_who_is_unknown_is_logged_and_slowed_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    signing = Signing(tmp_path, attempts=Attempts(3, clock=lambda: now[0]))
    caplog.set_level("INFO", "penstock.audit")
    bad = {"secret": "x" * 43}
    told = [signing.ask("GET", MAPPINGS, **bad) for _ in range(4)]
    assert [each.status for each in told] == [403, 403, 403, 429]
    assert (told[3].type, told[3].message) == ("TooManyRequestsException", "Rate Exceeded.")
    assert told[3].headers["retry-after"] == "1"
    # While it waits, an address is not heard at all; afterwards right credentials are.
    assert signing.ask("GET", MAPPINGS).status == 429
    now[0] += 1.0
    assert [signing.ask("GET", MAPPINGS).status for _ in range(5)] == [200] * 5
    assert signing.ask("GET", MAPPINGS, **bad).status == 403
    assert signing.ask("GET", MAPPINGS).status == 429
    lines = [json.loads(each.message) for each in caplog.records if each.name == "penstock.audit"]
    assert [each["outcome"] for each in lines] == ["refused"] * 4
    assert {(each["actor"], each["address"], each["action"]) for each in lines} == {
        ("unknown", "127.0.0.1", f"GET {MAPPINGS}")
    }
    assert signing.secret not in caplog.text


def test_addresses_are_slowed_down_apart_and_networks_of_ipv6_together() -> None:
    attempts = Attempts(1, clock=lambda: 0.0)
    attempts.failed("10.0.0.1")
    attempts.failed("2001:db8::1")
    waits = {each: attempts.wait(each) > 0 for each in (
        "10.0.0.1", "10.0.0.2", "2001:db8::ffff", "2001:db8:0:1::1", "::ffff:10.0.0.3",
    )}  # fmt: skip
    assert list(waits.values()) == [True, False, True, False, False]
    for number in range(20_000):
        attempts.failed(str(number))
    assert len(attempts._failures) == 10_000


def test_a_file_of_keys_that_others_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    signing = Signing(tmp_path)
    file = tmp_path / FILE
    file.chmod(0o640)
    with pytest.raises(CheckpointError, match="not yours alone"):
        KeyRing(tmp_path).all()
    # A server that has read it before answers nobody either.
    assert signing.ask("GET", MAPPINGS).status == 500
    file.chmod(0o600)
    assert signing.ask("GET", MAPPINGS).status == 200
    for text in ("", "[]", "{}", '{"version": 1}', '{"version": 1, "keys": [{"id": 1}]}'):
        file.write_text(text)
        with pytest.raises(CheckpointError):
            KeyRing(tmp_path).all()
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(CheckpointError):
        KeyRing(tmp_path).all()


def test_names_are_taken_once_and_bounded(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.create(name="ci", scope="read")
    for name in ("ci", "", "a" * 65, "a b", "a/b", "\u001b"):
        with pytest.raises(ConfigurationError):
            ring.create(name=name, scope="read")
    with pytest.raises(ConfigurationError):
        ring.create(name="other", scope="everything")
    with pytest.raises(ConfigurationError):
        ring.revoke("nobody")
    assert [each.name for each in ring.all()] == ["ci"]
