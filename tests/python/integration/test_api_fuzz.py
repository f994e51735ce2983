"""Sends the mapping API what its own description allows, and what it does not, by thousands.

Half of the cases are led to functions, sources and mappings that are there, so that what is behind
the checks is reached too; a whole engine runs behind it, in a process that is watched from outside.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.python.integration.api_service import ApiService, serving

ROOT = Path(__file__).resolve().parents[3]
CASES = 2_400
WARM = 800
# Nothing on this machine may take so long, however busy it is.
ANSWERS_WITHIN_S = 30
# What one case may leave behind: less than the smallest of what a mapping or an answer holds.
BYTES_A_CASE_MAX = 4_000
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


@dataclass(slots=True)
class Fuzzed:
    """A running API, what it answered, and how its memory went."""

    service: ApiService
    session: requests.Session = field(default_factory=requests.Session)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    memory: list[tuple[int, int]] = field(default_factory=list)
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
        if self.sent % 50 == 0:
            self.clear()
            self.memory.append((self.sent, self._resident_bytes()))

    def uuids(self) -> list[str]:
        """Give the mappings that are at rest, so that they can be changed: one at least."""
        deadline = time.monotonic() + ANSWERS_WITHIN_S
        while not (found := self._at_rest()):
            assert time.monotonic() < deadline, self.service.tail()
            asked = {"FunctionName": "other", "EventSourceArn": SOURCES[1]}
            url = self.service.url + MAPPINGS
            self.session.post(url, json=asked, headers=HEADERS, timeout=ANSWERS_WITHIN_S)
            time.sleep(0.01)
        return found

    def _at_rest(self) -> list[str]:
        url = self.service.url + MAPPINGS
        listed = self.session.get(url, timeout=ANSWERS_WITHIN_S).json()["EventSourceMappings"]
        return [each["UUID"] for each in listed if each["State"] in {"Enabled", "Disabled"}]

    def clear(self) -> None:
        """Delete every mapping that is at rest."""
        for uuid in self._at_rest():
            url = f"{self.service.url}{MAPPINGS}/{uuid}"
            self.session.delete(url, headers=HEADERS, timeout=ANSWERS_WITHIN_S)

    def slope(self) -> float:
        """Give how many bytes a case leaves behind, by least squares, after it is warm."""
        points = [point for point in self.memory if point[0] > WARM]
        middle_x = sum(x for x, _ in points) / len(points)
        middle_y = sum(y for _, y in points) / len(points)
        above = sum((x - middle_x) * (y - middle_y) for x, y in points)
        return above / sum((x - middle_x) ** 2 for x, _ in points)

    def _resident_bytes(self) -> int:
        status = Path(f"/proc/{self.service.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_that_is_sent_breaks_the_api(tmp_path: Path) -> None:
    functions: dict[str, dict[str, Any]] = {"my-function": {}, "other": {}}
    with serving(
        tmp_path, functions=functions, streams={"orders": 2}, queues={"orders": {}}
    ) as service:
        fuzzed = Fuzzed(service)

        @settings(
            max_examples=CASES, database=None, deadline=None, derandomize=True,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=st.one_of(list(_strategies())), data=st.data())
        def run(case: Any, data: st.DataObject) -> None:
            if data.draw(st.booleans()):
                _lead(case, data, fuzzed.uuids())
            fuzzed.send(case)

        run()
        assert fuzzed.sent >= 2_000
        succeeded = {name for name, status in fuzzed.answers if status < 300}
        assert succeeded == {name for name, _ in fuzzed.answers}, fuzzed.answers
        assert fuzzed.slope() < BYTES_A_CASE_MAX, fuzzed.memory
        assert service.stop() == 0, service.tail()


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
