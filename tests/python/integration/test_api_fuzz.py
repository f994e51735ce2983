"""Sends the mapping API what its own description allows, and what it does not, by thousands.

Half of the cases are led to functions, sources and mappings that are there, so that what is behind
the checks is reached too; a whole engine runs behind it, in a process of its own. What a case may
leave behind is counted twice: as the interpreter's blocks of memory, which tell one object a case
from none, and as the allocator's bytes in use, which have the engine's in them. Resident memory
would tell neither: it comes in pages of two megabytes.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3 import Retry

from tests.python.integration.api_service import ApiService, serving

ROOT = Path(__file__).resolve().parents[3]
CASES = 2_400
WARM = 800
CLEAR_EVERY = 50
COUNT_EVERY = 400
# What servers of HTTP take as a request's head; they refuse larger ones in words of their own.
HEAD_BYTES_MAX = 60_000
# Nothing on this machine may take so long, however busy it is.
ANSWERS_WITHIN_S = 60
# What one case may leave behind: less than one object, and less than the smallest of what a
# mapping or an answer holds outside the interpreter.
BLOCKS_A_CASE_MAX = 0.5
BYTES_A_CASE_MAX = 1_000
# Added to the program: counts its memory when it is told to, with nothing left to collect.
COUNTER = """
import ctypes, gc, os, signal, sys

class Allocated(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "free", "small", "mapped", "mapped_bytes", "was", "small_bytes", "used_bytes",
        "free_bytes", "top_bytes")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Allocated

def count(*_):
    gc.collect()
    allocated = libc.mallinfo2()
    with open("counted.new", "w") as file:
        print(sys.getallocatedblocks(), allocated.used_bytes + allocated.mapped_bytes, file=file)
    os.replace("counted.new", "counted")

signal.signal(signal.SIGUSR2, count)
"""
SOURCES = ("arn:aws:penstock:::stream/orders", "arn:aws:penstock:::queue/orders")
NAMES = ("my-function", "my-function:live", "other", "nobody")
HEADERS = {"X-Penstock-Request": "1"}
MAPPINGS = "/2015-03-31/event-source-mappings"
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


def _session() -> requests.Session:
    """Make a session that sends again what crosses the server's closing of an idle connection.

    What ends a connection for its own sake ends the next one too.
    """
    again = Retry(total=2, status=0, allowed_methods=None, backoff_factor=0.1)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=again))
    return session


@dataclass(slots=True)
class Fuzzed:
    """A running API, what it answered, and how its memory went."""

    service: ApiService
    home: Path
    session: requests.Session = field(default_factory=_session)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    counted: list[tuple[int, int]] = field(default_factory=list)
    sent: int = 0

    def send(self, case: Any) -> None:
        """Send one case, and judge the answer."""
        answer = case.call(
            base_url=self.service.url,
            session=self.session,
            headers=HEADERS,
            timeout=ANSWERS_WITHIN_S,
            allow_redirects=False,
        )
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            known = answer.headers.get("x-amzn-errortype")
            assert known, f"{answer.status_code} {answer.text}\n{case.as_curl_command()}"
        self.answers[case.operation.definition.raw["operationId"], answer.status_code] += 1
        self.sent += 1
        if self.sent % CLEAR_EVERY == 0:
            self.clear()
        if self.sent % COUNT_EVERY == 0 and self.sent >= WARM:
            self.counted.append(self._count())

    def uuids(self) -> list[str]:
        """Give the mappings that are at rest, so that they can be changed: one at least."""
        deadline = time.monotonic() + ANSWERS_WITHIN_S
        while not (found := _at_rest(self._mappings())):
            assert time.monotonic() < deadline, self.service.tail()
            asked = {"FunctionName": "other", "EventSourceArn": SOURCES[1]}
            url = self.service.url + MAPPINGS
            self.session.post(url, json=asked, headers=HEADERS, timeout=ANSWERS_WITHIN_S)
            time.sleep(0.01)
        return found

    def _mappings(self) -> list[dict[str, Any]]:
        url = self.service.url + MAPPINGS
        listed: list[dict[str, Any]] = self.session.get(url, timeout=ANSWERS_WITHIN_S).json()[
            "EventSourceMappings"
        ]
        return listed

    def clear(self) -> int:
        """Delete every mapping that is at rest; gives how many there are of any."""
        there = self._mappings()
        for uuid in _at_rest(there):
            url = f"{self.service.url}{MAPPINGS}/{uuid}"
            self.session.delete(url, headers=HEADERS, timeout=ANSWERS_WITHIN_S)
        return len(there)

    def left_by_a_case(self) -> tuple[float, float]:
        """Give how many blocks and how many bytes a case leaves behind, after it is warm."""
        cases = COUNT_EVERY * (len(self.counted) - 1)
        (blocks, size), (more_blocks, more) = self.counted[0], self.counted[-1]
        return (more_blocks - blocks) / cases, (more - size) / cases

    def _count(self) -> tuple[int, int]:
        """Have the service count its memory while it has no mapping."""
        deadline = time.monotonic() + ANSWERS_WITHIN_S
        while self.clear():
            assert time.monotonic() < deadline, self.service.tail()
            time.sleep(0.05)
        counted = self.home / "counted"
        counted.unlink(missing_ok=True)
        self.service.process.send_signal(signal.SIGUSR2)
        while not counted.exists():
            assert time.monotonic() < deadline, self.service.tail()
            time.sleep(0.01)
        blocks, size = counted.read_text().split()
        return int(blocks), int(size)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_that_is_sent_breaks_the_api(tmp_path: Path) -> None:
    functions: dict[str, dict[str, Any]] = {"my-function": {}, "other": {}}
    with serving(
        tmp_path, functions=functions, streams={"orders": 2}, queues={"orders": {}}, more=COUNTER
    ) as service:
        fuzzed = Fuzzed(service, tmp_path)

        @settings(
            max_examples=CASES, database=None, deadline=None, derandomize=True,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=st.one_of(list(_strategies())), data=st.data())
        def run(case: Any, data: st.DataObject) -> None:
            if data.draw(st.booleans()):
                _lead(case, data, fuzzed.uuids())
            if _arrives(case):
                fuzzed.send(case)

        run()
        assert fuzzed.sent >= 2_000
        succeeded = {name for name, status in fuzzed.answers if status < 300}
        assert succeeded == {name for name, _ in fuzzed.answers}, fuzzed.answers
        blocks, size = fuzzed.left_by_a_case()
        assert blocks < BLOCKS_A_CASE_MAX, fuzzed.counted
        assert size < BYTES_A_CASE_MAX, fuzzed.counted
        assert service.stop() == 0, service.tail()


def _at_rest(mappings: list[dict[str, Any]]) -> list[str]:
    return [each["UUID"] for each in mappings if each["State"] in {"Enabled", "Disabled"}]


def _arrives(case: Any) -> bool:
    """Whether a case comes to the API as it is: clients shorten some paths to other ones."""
    named = [str(value) for value in (case.path_parameters or {}).values()]
    head = sum(len(quote(each, safe="")) for each in named)
    head += len(urlencode(case.query or {}, doseq=True))
    return head <= HEAD_BYTES_MAX and not {"", ".", ".."} & set(named)


def _strategies() -> Iterator[st.SearchStrategy[Any]]:
    """Give a strategy for every operation, with members as described and otherwise."""
    document = json.loads((ROOT / "docs/mapping-api.json").read_text(encoding="utf-8"))
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        yield operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        takes = operation.path_parameters.items or operation.query.items or operation.body.items
        if takes:
            yield operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


def _lead(case: Any, data: st.DataObject, uuids: list[str]) -> None:
    """Point a case at what is there; of a body a few members stay as they were made."""
    # What is drawn may not depend on what is there, or the same draws would not come again.
    uuid = uuids[data.draw(st.integers(0, 99)) % len(uuids)]
    arn = f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{uuid}"
    there = {"uuid": uuid, "arn": arn, "name": data.draw(st.sampled_from(NAMES))}
    for name in case.path_parameters or ():
        case.path_parameters[name] = there[name]
    if case.query and "tagKeys" in case.query:
        case.query = {"tagKeys": ["a", "b"]}
    if not isinstance(case.body, dict) or case.path_parameters.keys() & {"arn", "name"}:
        return
    members = sorted(case.body)
    kept = data.draw(st.sets(st.sampled_from(members), max_size=2)) if members else set()
    case.body = {name: case.body[name] for name in kept}
    if case.operation.definition.raw["operationId"].startswith("Create"):
        source = data.draw(st.sampled_from(SOURCES))
        case.body |= {"FunctionName": there["name"], "EventSourceArn": source}
        if "stream" in source:
            case.body.setdefault("StartingPosition", "TRIM_HORIZON")
