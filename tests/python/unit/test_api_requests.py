"""Tests what reaches the mapping API besides good requests: bad bodies, foreign hosts, pages."""

from __future__ import annotations

import json

import pytest

from penstock.api.routes import BODY_BYTES_MAX
from tests.python.unit.api_stage import MAPPINGS, Stage

GOOD = json.dumps({"FunctionName": "my-function"}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Could not parse request body into json"),
        (b"nonsense", "Could not parse request body into json"),
        (b"[1]", "expected an object"),
        (b'"text"', "expected an object"),
        (b"\xff\xfe", "invalid UTF-8 at byte 0"),
        (b'{"BatchSize": 1, "BatchSize": 2}', "duplicate member 'BatchSize'"),
        (b'{"Tags": {"a": "1", "a": "2"}}', "duplicate member 'a'"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "nested deeper than 128"),
        (b"[" * 100_000, "Could not parse request body into json"),
        (b'{"BatchSize": NaN}', "NaN is not JSON"),
        (b'{"BatchSize": Infinity}', "Infinity is not JSON"),
        (b'{"FunctionName": "\\ud800"}', "half a character"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(10_001)) + b"}", "more than 10000 members"),
        (b'{"BatchSize": 1' + b"0" * 5_000 + b"}", "Could not parse request body into json"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, words: str) -> None:
    stage = Stage()
    answer = stage.ask("POST", MAPPINGS, body)
    assert (answer.status, answer.type) == (400, "InvalidRequestContentException")
    assert words in answer.message
    assert stage.ask("GET", MAPPINGS).body == {"EventSourceMappings": []}


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b'{"BatchSize": 3, "BatchSize": 4}'])
def test_a_body_that_is_no_request_changes_nothing(body: bytes) -> None:
    stage = Stage()
    made = stage.create(Tags={"a": "b"}).body
    stage.settle()
    place = f"{MAPPINGS}/{made['UUID']}"
    before, tags = stage.ask("GET", place).body, f"/2017-03-31/tags/{made['EventSourceMappingArn']}"
    for method, path in (("PUT", place), ("POST", tags)):
        answer = stage.ask(method, path, body)
        assert (answer.status, answer.type) == (400, "InvalidRequestContentException")
    assert stage.ask("GET", place).body == before
    assert stage.ask("GET", tags).body == {"Tags": {"a": "b"}}


@pytest.mark.parametrize(
    "uuid",
    ["14e0db71-5d35-4eb5-b481-8945cf9d10c2", "x", "0" * 36, "0" * 300, "%00", "%F0%9F%90%9F"],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_uuid_that_no_mapping_has_is_not_found(method: str, uuid: str) -> None:
    stage = Stage()
    stage.create()
    answer = stage.ask(method, f"{MAPPINGS}/{uuid}", {"BatchSize": 3} if method == "PUT" else None)
    assert (answer.status, answer.type) == (404, "ResourceNotFoundException")
    assert answer.message == "The resource you requested does not exist."


def test_a_body_that_is_too_large_is_not_read() -> None:
    answer = Stage().ask("POST", MAPPINGS, b" " * (BODY_BYTES_MAX + 1))
    assert (answer.status, answer.type) == (413, "RequestTooLargeException")


def test_unknown_members_are_dropped_and_null_is_absent() -> None:
    stage = Stage()
    made = stage.create(Nonsense={"deep": [1]}, BatchSize=None, Enabled=None)
    assert (made.status, made.body["BatchSize"]) == (202, 100)
    assert "Nonsense" not in made.body


def test_both_spellings_of_a_path_are_one() -> None:
    stage = Stage()
    uuid = stage.create().body["UUID"]
    stage.settle()
    assert stage.ask("GET", MAPPINGS + "/").body == stage.ask("GET", MAPPINGS).body
    assert stage.ask("GET", f"{MAPPINGS}/{uuid}/").body["UUID"] == uuid
    changed = stage.ask("PUT", f"{MAPPINGS}/{uuid}/", {"BatchSize": 2})
    assert changed.status == 202
    tags = f"/2017-03-31/tags/{changed.body['EventSourceMappingArn']}/"
    assert stage.ask("POST", tags, {"Tags": {"a": "b"}}).status == 204
    assert stage.ask("GET", tags).body == stage.ask("GET", tags[:-1]).body == {"Tags": {"a": "b"}}
    assert stage.ask("DELETE", f"{tags}?tagKeys=a").status == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"host": ""},
        {"host": "[::1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [MAPPINGS, "/2015-03-31/functions", "/nothing", "/"])
def test_foreign_hosts_and_pages_are_refused_everywhere(
    headers: dict[str, str], method: str, path: str
) -> None:
    stage = Stage()
    answer = stage.ask(method, path, GOOD if method != "GET" else None, headers)
    assert answer.status == 403
    assert answer.type == "AccessDeniedException"
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9401", "[::1]:9401", "LOCALHOST:1"])
def test_own_hosts_are_answered(host: str) -> None:
    assert Stage().ask("GET", MAPPINGS, None, {"host": host}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": ""},
    ],
)
def test_a_change_needs_json(headers: dict[str, str]) -> None:
    assert Stage().ask("POST", MAPPINGS, GOOD, headers).status == 403


def test_a_change_needs_a_header_that_no_page_sends_unasked() -> None:
    stage = Stage()
    uuid = stage.create().body["UUID"]
    stage.settle()
    place = f"{MAPPINGS}/{uuid}"
    for method, path, sent in (
        ("POST", MAPPINGS, GOOD),
        ("PUT", place, {}),
        ("DELETE", place, None),
    ):
        assert stage.ask(method, path, sent, {"authorization": None}).status == 403
        own = {"authorization": None, "x-penstock-request": "1"}
        assert stage.ask(method, path, sent, own).status in {202, 400}
        stage.settle()
    assert stage.ask("GET", MAPPINGS).body == {"EventSourceMappings": []}


@pytest.mark.parametrize("path", ["/", "/2015-03-31/event-source-mapping", "/../etc/passwd", "//"])
def test_unknown_paths_are_answered(path: str) -> None:
    answer = Stage().ask("GET", path)
    assert (answer.status, answer.type) == (404, "UnknownOperationException")


def test_methods_that_no_operation_has_are_answered() -> None:
    answer = Stage().ask("PATCH", MAPPINGS, GOOD)
    assert (answer.status, answer.type) == (405, "UnknownOperationException")
