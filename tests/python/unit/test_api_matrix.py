"""Tries every route by every method with keys: wrong ones, small scopes, bodies without an end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.api.routes import PAYLOAD_BYTES_MAX
from tests.python.unit.api_stage import MAPPINGS
from tests.python.unit.test_api_edge import BODY, METHODS, with_a_slow_body
from tests.python.unit.test_api_signatures import Signing

PAGE = Path(__file__).resolve().parents[3] / "docs/api-security.md"
READING = frozenset({"GET", "HEAD"})
UNKNOWN = "PSTKAAAAAAAAAAAAAAAA"
NOWHERE = ("/", "/nothing", "/docs", "/openapi.json")

# What signers do wrong, and the error of it everywhere.
WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong secret": ({"secret": "x" * 43}, "InvalidSignatureException"),
    "an unknown key": ({"key_id": UNKNOWN}, "UnrecognizedClientException"),
    "another region": ({"region": "eu-west-1"}, "InvalidSignatureException"),
    "another service": ({"service": "sqs"}, "InvalidSignatureException"),
}


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    return Signing(tmp_path)


def everywhere(signing: Signing) -> Iterator[tuple[str, str, bytes]]:
    """Give every route by every method, with a body where one may be."""
    for path in [*signing.stage.paths, *NOWHERE]:
        for method in METHODS:
            yield method, path, b"" if method in {*READING, "OPTIONS", "TRACE"} else BODY


@pytest.mark.parametrize("wrong", WRONGS)
def test_a_wrong_signature_gets_through_nowhere(signing: Signing, wrong: str) -> None:
    options, kind = WRONGS[wrong]
    before, tried = signing.kept(), 0
    for method, path, body in everywhere(signing):
        headers = signing.headers(method, path, body, **options)
        answer = signing.stage.ask(method, path, body or None, headers)
        assert (answer.status, answer.type) == (403, kind), (method, path)
        assert answer.headers["connection"] == "close"
        tried += 1
    assert tried == (len(signing.stage.paths) + len(NOWHERE)) * len(METHODS) > 200
    assert signing.kept() == before


@pytest.mark.parametrize(
    ("header", "value"),
    [("host", "evil.example"), ("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")],
)
def test_a_right_signature_from_a_foreign_page_gets_through_nowhere(
    signing: Signing, header: str, value: str
) -> None:
    before = signing.kept()
    for method, path, body in everywhere(signing):
        headers = signing.headers(method, path, body, more={header.title(): value})
        answer = signing.stage.ask(method, path, body or None, headers)
        assert (answer.status, answer.type) == (403, "AccessDeniedException"), (method, path)
    assert signing.kept() == before


def test_a_right_signature_is_answered_as_a_token_is(signing: Signing) -> None:
    _, token = signing.ring.create(name="token", scope="read", kind="token")
    reader, secret = signing.ring.create(name="reader", scope="read")
    for method, path, body in everywhere(signing):
        headers = signing.headers(method, path, body, key_id=reader.id, secret=secret)
        by_key = signing.stage.ask(method, path, body or None, headers)
        bearer: dict[str, str | None] = {"authorization": f"Bearer {token}"}
        by_token = signing.stage.ask(method, path, body or None, bearer)
        assert by_key.status == by_token.status, (method, path)
        assert by_key.status < 500


# For each scope: what it may change, as endings of paths.
MAY_CHANGE = {"read": frozenset[str](), "operate": frozenset({"invocations"})}


@pytest.mark.parametrize("scope", MAY_CHANGE)
def test_a_small_scope_changes_nothing_anywhere(tmp_path: Path, scope: str) -> None:
    signing = Signing(tmp_path, scope)
    before, denied, answered = signing.kept(), set(), set()
    for method, path, body in everywhere(signing):
        answer = signing.stage.ask(method, path, body or None, signing.headers(method, path, body))
        assert answer.status < 500, (method, path)
        if answer.status == 403:
            assert answer.type == "AccessDeniedException"
            assert "user/ci is not authorized to perform: lambda:" in answer.message
            denied.add((method, path))
        elif answer.status < 300:
            answered.add((method, path))
    assert not {(method, path) for method, path in denied if method in READING}
    for method, path in answered:
        assert method in READING or path.strip("/").rpartition("/")[2] in MAY_CHANGE[scope]
    assert {method for method, _ in denied} == {"POST", "PUT", "DELETE"}
    assert len(denied) == (10 if scope == "operate" else 12)
    assert signing.kept() == before


def test_the_page_says_which_scope_each_change_needs(tmp_path: Path) -> None:
    denied: dict[str, set[str]] = {}
    for scope in MAY_CHANGE:
        (tmp_path / scope).mkdir()
        signing = Signing(tmp_path / scope, scope)
        denied[scope] = set()
        for method, path, body in everywhere(signing):
            headers = signing.headers(method, path, body)
            answer = signing.stage.ask(method, path, body or None, headers)
            if answer.status == 403:
                denied[scope].add(answer.message.split("lambda:")[1].split(" ")[0])
    rows = dict(re.findall(r"^\| (\w+) \| `(\w+)` \|$", PAGE.read_text(), re.MULTILINE))
    assert {name for name, scope in rows.items() if scope == "admin"} == denied["operate"]
    assert set(rows) == denied["read"]


def test_whoever_operates_switches_mappings_and_changes_nothing_else(tmp_path: Path) -> None:
    signing = Signing(tmp_path, "operate")
    path = f"{MAPPINGS}/{signing.stage.uuid}"
    for body in ({"Enabled": False, "BatchSize": 7}, {"BatchSize": 7}, {"enabled": False}):
        assert signing.ask("PUT", path, body).type == "AccessDeniedException"
    assert signing.ask("PUT", path, {"Enabled": False}).status == 202
    signing.stage.settle()
    assert signing.ask("PUT", path, {"Enabled": True}).status == 202


def test_a_huge_body_is_read_for_no_key_anywhere(signing: Signing) -> None:
    huge = b" " * (PAYLOAD_BYTES_MAX + 1)
    before = signing.kept()
    for method, path, _ in everywhere(signing):
        if method not in READING:
            for key_id, status in ((None, 413), (UNKNOWN, 403)):
                # The body's hash is not reached, so that of an empty one does.
                headers = signing.headers(method, path, b"", key_id=key_id) | {
                    "content-type": "application/json"
                }
                answer = signing.stage.ask(method, path, huge, headers)
                assert answer.status == status, (method, path, answer)
    assert signing.kept() == before


def test_a_slow_body_is_waited_for_only_with_a_key_and_not_for_long(tmp_path: Path) -> None:
    signing = Signing(tmp_path, body_seconds=0.01)
    before = signing.kept()
    for method, path, _ in everywhere(signing):
        for key_id, expected in ((None, (408, 1)), (UNKNOWN, (403, 0))):
            headers = signing.headers(method, path, b"", key_id=key_id)
            told = asyncio.run(with_a_slow_body(signing.stage, method, path, headers))
            assert told == expected, (method, path)
    assert signing.kept() == before


def test_what_is_held_of_unchecked_bodies_has_a_bound(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.api.edge.UNCHECKED_BYTES_MAX", 100)
    body = {"FunctionName": "my-function", "Description": "x" * 200}
    refused = signing.ask("POST", MAPPINGS, body)
    assert (refused.status, refused.type) == (429, "TooManyRequestsException")
    assert signing.ask("POST", MAPPINGS, {"FunctionName": "x"}).status == 400
