"""Tests what the mapping API says of functions, and how it calls one: every member of a request."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any
from urllib.parse import quote

import pytest

from penstock.handlers import make_function
from tests.python.unit.api_stage import MAPPINGS, Answer, Stage, handler

FUNCTIONS = "/2015-03-31/functions"
INVALID = "InvalidParameterValueException"
ARN = "arn:aws:lambda:us-east-1:000000000000:function"


def _context(document: Any) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def _invoke(stage: Stage, name: str = "my-function", body: Any = None, **headers: str) -> Answer:
    told = {f"x-amz-{key.replace('_', '-')}": value for key, value in headers.items()}
    return stage.ask("POST", f"{FUNCTIONS}/{name}/invocations", {} if body is None else body, told)


def _stage_of(count: int) -> Stage:
    stage = Stage()
    stage.functions.clear()
    for place in range(count):
        name = f"f-{place:03}"
        stage.functions[name] = make_function(handler, name=name, version=place or "$LATEST")
    return stage


def _pages(stage: Stage, query: str = "") -> list[list[dict[str, Any]]]:
    pages, marker = [], ""
    while True:
        page = stage.ask("GET", f"{FUNCTIONS}/?{query}{marker}").body
        pages.append(page["Functions"])
        if "NextMarker" not in page:
            return pages
        marker = f"&Marker={quote(page['NextMarker'])}"


@pytest.mark.parametrize(
    ("query", "sizes"),
    [("", [50, 50, 20]), ("MaxItems=10000", [50, 50, 20]), ("MaxItems=40", [40, 40, 40])],
)
def test_functions_are_listed_in_pages(query: str, sizes: list[int]) -> None:
    stage = _stage_of(120)
    pages = _pages(stage, query)
    assert [len(page) for page in pages] == sizes
    listed = [each["FunctionName"] for page in pages for each in page]
    assert listed == sorted(stage.functions)


def test_versions_are_listed_with_their_arns_when_all_are_asked_for() -> None:
    stage = _stage_of(2)
    plain = stage.ask("GET", FUNCTIONS).body["Functions"]
    assert [each["FunctionArn"] for each in plain] == [f"{ARN}:f-000", f"{ARN}:f-001"]
    every = stage.ask("GET", f"{FUNCTIONS}?FunctionVersion=ALL").body["Functions"]
    assert [each["FunctionArn"] for each in every] == [f"{ARN}:f-000:$LATEST", f"{ARN}:f-001:1"]
    assert [each["Version"] for each in every] == ["$LATEST", "1"]


def test_no_function_is_a_replica_of_another_region() -> None:
    stage = _stage_of(2)
    both = f"{FUNCTIONS}?FunctionVersion=ALL&MasterRegion="
    assert len(stage.ask("GET", both + "ALL").body["Functions"]) == 2
    assert stage.ask("GET", both + "us-east-1").body == {"Functions": []}
    alone = stage.ask("GET", f"{FUNCTIONS}?MasterRegion=us-east-1")
    assert (alone.status, alone.type) == (400, INVALID)


@pytest.mark.parametrize(
    ("query", "kind", "words"),
    [
        ("MaxItems=0", "ValidationException", "greater than or equal to 1"),
        ("MaxItems=10001", "ValidationException", "less than or equal to 10000"),
        ("MaxItems=x", INVALID, "MaxItems"),
        ("FunctionVersion=1", "ValidationException", "enum value set: [ALL]"),
        ("FunctionVersion=ALL&MasterRegion=moon", "ValidationException", "'masterRegion'"),
        ("Marker=nonsense", INVALID, "marker"),
        ("Marker=%FF%00", INVALID, "marker"),
    ],
)
def test_a_list_of_functions_is_refused_in_awss_words(query: str, kind: str, words: str) -> None:
    answer = _stage_of(2).ask("GET", f"{FUNCTIONS}?{query}")
    assert (answer.status, answer.type) == (400, kind)
    assert words in answer.message


def test_a_marker_is_good_in_its_own_list_and_store() -> None:
    stage = _stage_of(2)
    stage.functions["my-function"] = make_function(handler, name="my-function")
    for alias in ("a", "b"):
        assert stage.create(FunctionName=f"my-function:{alias}").status == 202
    of_functions = stage.ask("GET", f"{FUNCTIONS}?MaxItems=1").body["NextMarker"]
    of_mappings = stage.ask("GET", f"{MAPPINGS}?MaxItems=1").body["NextMarker"]
    for asked, place, marker in (
        (stage, FUNCTIONS, of_mappings),
        (stage, MAPPINGS, of_functions),
        (_stage_of(2), FUNCTIONS, of_functions),
        (stage, FUNCTIONS, of_functions + "!"),
        (stage, FUNCTIONS, "!" + of_functions),
    ):
        answer = asked.ask("GET", f"{place}?Marker={quote(marker)}")
        assert (answer.status, answer.type) == (400, INVALID), (place, marker)


@pytest.mark.parametrize(
    ("name", "qualifier", "arn"),
    [
        ("my-function", None, f"{ARN}:my-function"),
        ("my-function", "live", f"{ARN}:my-function:live"),
        ("my-function:live", None, f"{ARN}:my-function:live"),
        ("my-function:live", "live", f"{ARN}:my-function:live"),
        ("my-function", "$LATEST", f"{ARN}:my-function:$LATEST"),
        (f"{ARN}:my-function", "7", f"{ARN}:my-function:7"),
    ],
)
def test_a_qualifier_is_given_in_the_name_or_beside_it(
    name: str, qualifier: str | None, arn: str
) -> None:
    query = "" if qualifier is None else f"?Qualifier={quote(qualifier)}"
    found = Stage().ask("GET", f"{FUNCTIONS}/{quote(name)}{query}")
    assert found.body["Configuration"]["FunctionArn"] == arn


@pytest.mark.parametrize("verb", ["GET", "POST"])
@pytest.mark.parametrize(
    ("name", "query", "status", "kind", "words"),
    [
        ("my-function:a", "?Qualifier=b", 400, INVALID, "The derived qualifier from the function"),
        ("my-function", "?Qualifier=a%20b", 400, "ValidationException", "'qualifier' failed"),
        ("my-function", f"?Qualifier={'a' * 129}", 400, "ValidationException", "equal to 128"),
        ("my%20function", "", 400, "ValidationException", "'functionName' failed"),
        ("nobody", "", 404, "ResourceNotFoundException", f"Function not found: {ARN}:nobody"),
        ("nobody", "?Qualifier=1", 404, "ResourceNotFoundException", f"{ARN}:nobody:1"),
    ],
)
def test_what_is_no_function_is_refused_in_awss_words(
    verb: str, name: str, query: str, status: int, kind: str, words: str
) -> None:
    path = f"{FUNCTIONS}/{name}" + ("" if verb == "GET" else "/invocations")
    answer = Stage().ask(verb, path + query, None if verb == "GET" else {})
    assert (answer.status, answer.type) == (status, kind)
    assert words in answer.message


def test_functions_of_another_region_or_account_are_not_there() -> None:
    stage = Stage(region="us-east-2", account="123456789012")
    own = "arn:aws:lambda:us-east-2:123456789012:function:my-function"
    found = stage.ask("GET", f"{FUNCTIONS}/{own}").body["Configuration"]
    assert found["FunctionArn"] == own
    region = stage.ask("GET", f"{FUNCTIONS}/{own.replace('us-east-2', 'eu-west-1')}")
    assert (region.status, region.type) == (404, "ResourceNotFoundException")
    assert region.message.startswith("Functions from 'eu-west-1' are not reachable")
    account = stage.ask("GET", f"{FUNCTIONS}/{own.replace('123456789012', '210987654321')}")
    assert (account.status, account.type) == (404, "ResourceNotFoundException")


def test_invoke_calls_the_function_and_tells_what_it_raised() -> None:
    stage = Stage()

    def fails(event: Any, context: Any) -> None:
        raise ValueError("no such order")

    async def waits(event: Any, context: Any) -> Any:
        return {"name": context.function_name, "event": event}

    stage.functions |= {
        "fails": make_function(fails, name="fails"),
        "waits": make_function(waits, name="waits"),
    }
    answer = _invoke(stage, body={"a": 1})
    assert (answer.status, answer.body) == (200, {"a": 1})
    assert answer.headers["x-amz-executed-version"] == "$LATEST"
    assert _invoke(stage, "waits", {"a": 1}).body == {"name": "waits", "event": {"a": 1}}
    raised = _invoke(stage, "fails")
    assert raised.headers["x-amz-function-error"] == "Unhandled"
    assert raised.body["errorType"] == "ValueError"
    assert raised.body["errorMessage"] == "no such order"


def test_the_three_kinds_of_invocation() -> None:
    stage, called, begun = Stage(), [], threading.Semaphore(0)

    def notes(event: Any, context: Any) -> None:
        called.append((event, context.client_context, context.aws_request_id))
        begun.release()

    stage.functions["notes"] = make_function(notes, name="notes")
    dry = _invoke(stage, "notes", {"a": 1}, invocation_type="DryRun")
    assert (dry.status, dry.body, called) == (204, None, [])
    waited = _invoke(stage, "notes", {"a": 2}, invocation_type="RequestResponse")
    assert (waited.status, waited.body) == (200, None)
    told = {"invocation_type": "Event", "client_context": _context({"custom": {}})}
    started = _invoke(stage, "notes", {"a": 3}, **told)
    assert (started.status, started.body) == (202, None)
    assert all(begun.acquire(timeout=30) for _ in range(2))
    assert [event for event, _, _ in called] == [{"a": 2}, {"a": 3}]
    assert called[1][1] is None, "as on Lambda, only who waits has a client context handed on"
    assert called[1][2] == started.headers["x-amzn-requestid"]


def test_a_client_context_is_what_lambdas_runtime_makes_of_it() -> None:
    stage, seen = Stage(), []

    def looks(event: Any, context: Any) -> None:
        seen.append(context.client_context)

    stage.functions["looks"] = make_function(looks, name="looks")
    sent = {"custom": {"k": "v"}, "env": {"e": 1}, "client": {"app_title": "shop"}, "more": 1}
    assert _invoke(stage, "looks", client_context=_context(sent)).status == 200
    assert _invoke(stage, "looks", client_context=_context({})).status == 200
    assert _invoke(stage, "looks").status == 200
    full, empty, nothing = seen
    assert (full.custom, full.env) == ({"k": "v"}, {"e": 1})
    assert (full.client.app_title, full.client.installation_id) == ("shop", None)
    assert (empty.custom, empty.env, empty.client) == (None, None, None)
    assert nothing is None


@pytest.mark.parametrize(
    "text",
    ["nonsense!", "e30", _context([1]), _context("x"), _context({"client": 1}),
     _context({"custom": "x" * 3_000}), base64.b64encode(b"{").decode(),
     base64.b64encode(b"\xff{}").decode()],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_a_client_context_that_is_none_is_refused(text: str, kind: str) -> None:
    answer = _invoke(Stage(), invocation_type=kind, client_context=text)
    assert (answer.status, answer.type) == (400, "InvalidRequestContentException")
    assert answer.message == "Client context must be a valid Base64-encoded JSON object."


@pytest.mark.parametrize(
    ("headers", "kind", "words"),
    [
        ({"invocation_type": "nonsense"}, "ValidationException",
         "'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Ev"),
        ({"log_type": "nonsense"}, "ValidationException", "enum value set: [None, Tail]"),
        ({"log_type": "Tail"}, INVALID, "LogType Tail is not supported"),
        ({"durable_execution_name": "a"}, INVALID, "DurableExecutionName is not supported"),
        ({"durable_execution_name": "!"}, "ValidationException", "'durableExecutionName'"),
        ({"tenant_id": "a"}, INVALID, "TenantId is not supported"),
    ],
)  # fmt: skip
def test_what_invoke_cannot_do_is_refused_by_name(
    headers: dict[str, str], kind: str, words: str
) -> None:
    stage, called = Stage(), []
    stage.functions["notes"] = make_function(lambda event, _: called.append(event), name="notes")
    answer = _invoke(stage, "notes", **headers)
    assert (answer.status, answer.type) == (400, kind)
    assert words in answer.message
    assert called == []
    assert _invoke(stage, "notes", log_type="None").status == 200


def test_an_event_is_smaller_than_what_is_waited_for() -> None:
    stage, largest = Stage(), 1024 * 1024
    large = b'"%s"' % (b"x" * (largest - 1))
    answer = _invoke(stage, body=large, invocation_type="Event")
    assert (answer.status, answer.type) == (413, "RequestEntityTooLargeException")
    assert answer.message == (
        "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    )
    assert _invoke(stage, body=large).status == 200
    fits = b'"%s"' % (b"x" * (largest - 2))
    assert _invoke(stage, body=fits, invocation_type="Event").status == 202
