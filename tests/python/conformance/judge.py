"""Compares what has come of a case with what it expects.

Rules: everything that differs is said; a moment may be one millisecond off, which is as closely as
it was observed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tests.python.conformance import windows
from tests.python.conformance.stage import BASE, Call, Stage

_LATE_MS_MAX = 1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def judge(stage: Stage, expect: dict[str, Any]) -> list[str]:
    """Give everything in which a case differs from what it expects."""
    stage.look()
    return list(_differences(stage, expect))


def _differences(stage: Stage, expect: dict[str, Any]) -> Iterator[str]:
    if "calls" in expect:
        yield from _calls(stage, expect["calls"])
    if "calls_any_order" in expect:
        told, wanted = sorted(_told(stage)), sorted(expect["calls_any_order"])
        yield from _differ("calls in any order", told, wanted)
    for first, second in expect.get("order", ()):
        one, other = _find(stage, first), _find(stage, second)
        in_order = one is not None and other is not None and (one.ended or 10**9) < other.began
        yield from _differ(f"{first} before {second}", in_order, True)
    for first, second in expect.get("together", ()):
        one, other = _find(stage, first), _find(stage, second)
        overlap = one is not None and other is not None and _overlap(one, other)
        yield from _differ(f"{first} together with {second}", overlap, True)
    for shard, position in expect.get("checkpoints", {}).items():
        yield from _differ(f"checkpoint {shard}", _checkpoint(stage, int(shard)), position)
    if "documents" in expect:
        yield from _documents(stage, expect["documents"])
    for name, count in expect.get("counters", {}).items():
        yield from _differ(f"counter {name}", stage.picture["counters"].get(name), count)
    if "result" in expect:
        yield from _differ("result", stage.picture["last_processing_result"], expect["result"])
    for number, event in expect.get("events", {}).items():
        received = stage.calls[int(number) - 1].event
        yield from _differ(f"event {number}", received, stage.filled_in(event))
        yield from _differ(f"order of event {number}", _keys(received), _keys(event))
    for code in expect.get("notices", ()):
        yield from _differ(f"notice {code}", code in stage.notices, True)
    if stage.queue is not None:
        yield from _messages(stage, expect)
    if stage.windows is not None:
        yield from _windows(stage, expect)
    stalls = _stalls(stage.picture)
    for place, reason in expect.get("stalls", {}).items():
        yield from _differ(place, stalls.get(place), reason)
    if "drained" in expect:
        yield from _differ("drained", stage.drained, expect["drained"])


def _messages(stage: Stage, expect: dict[str, Any]) -> Iterator[str]:
    assert stage.queue is not None
    standing = stage.queue.standing()
    for what in standing.keys() & expect.keys():
        yield from _differ(what, _ranges(standing[what]), expect[what])
    for number, count in expect.get("received", {}).items():
        shown = stage.queue.newest[int(number)]["attributes"]["ApproximateReceiveCount"]
        yield from _differ(f"receives of {number}", shown, str(count))
    if "at_once" in expect:
        running = [sum(_runs(other, call.at_ms) for other in stage.calls) for call in stage.calls]
        yield from _differ("calls at once", max(running), expect["at_once"])
    receipts = {(r["receiptHandle"], c.request) for c in stage.calls for r in c.event["Records"]}
    handles = sorted(handle for handle, _ in receipts)
    twice = [a for a, b in pairwise(handles) if a == b]
    yield from _differ("receipts given twice", twice, [])


def _windows(stage: Stage, expect: dict[str, Any]) -> Iterator[str]:
    assert stage.windows is not None
    if "windows" in expect:
        told = [[*_bounds(call), windows.shown(call.event["state"])] for call in stage.calls]
        arrivals = [(stage.records[number - 1], state) for number, state in expect["windows"]]
        wanted = [[*stage.windows.bounds(r.arrival_ms), state] for r, state in arrivals]
        yield from _differ("windows", told, wanted)
    for shard, state in expect.get("states", {}).items():
        saved = stage.saved.get(stage.shard_name(int(shard)), {}).get("window")
        shown = saved and windows.shown(json.loads(saved["state"]))
        yield from _differ(f"state {shard}", shown, state)


def _bounds(call: Call) -> tuple[str, str]:
    window = call.event["window"]
    return window["start"], window["end"]


def _runs(call: Call, at_ms: int) -> bool:
    return call.at_ms <= at_ms and (call.until_ms is None or call.until_ms > at_ms)


def _differ(what: str, told: Any, expected: Any) -> Iterator[str]:
    if told != expected:
        yield f"{what}:\n      is       {told}\n      expected {expected}"


def _calls(stage: Stage, expected: list[str]) -> Iterator[str]:
    without_times = [call.split(" @")[0] for call in expected]
    yield from _differ("calls", _told(stage), without_times)
    assert stage.started_ms is not None
    for number, (call, text) in enumerate(zip(stage.calls, expected, strict=False), start=1):
        _, at, moment = text.partition(" @")
        if at:
            late = call.at_ms - stage.started_ms - int(moment)
            if not -1 <= late <= _LATE_MS_MAX:
                yield f"call {number} ({text}) is {late} ms late"


def _told(stage: Stage) -> list[str]:
    told = []
    for at, call in enumerate(stage.calls):
        earlier = stage.calls[:at]
        before = next((c for c in reversed(earlier) if c.records == call.records), None)
        same = before is not None and before.request == call.request
        if before is not None and same and call.attempt == before.attempt + 1:
            suffix = " again"
        elif before is not None and same and call.attempt == before.attempt:
            suffix = " anew"
        elif call.attempt == 1 and all(c.request != call.request for c in earlier):
            suffix = ""
        else:
            suffix = " with a request id or attempt that does not fit"
        told.append(_title(call) + suffix)
    return told


def _ranges(numbers: list[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] + 1 == number:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _find(stage: Stage, text: str) -> Call | None:
    return next((call for call in stage.calls if _title(call) == text), None)


def _title(call: Call) -> str:
    return windows.title(_ranges(call.records), call.event)


def _overlap(one: Call, other: Call) -> bool:
    def begins_within(a: Call, b: Call) -> bool:
        return b.until_ms is None or a.at_ms < b.until_ms

    return begins_within(one, other) and begins_within(other, one)


def _checkpoint(stage: Stage, shard: int) -> str:
    saved = stage.saved.get(stage.shard_name(shard))
    if saved is None:
        return "none"
    position = saved["position"]
    if isinstance(position, str):
        return {"TrimHorizon": "TRIM_HORIZON", "ShardEnd": "SHARD_END"}[position]
    if "AtTimestamp" in position:
        return f"AT_TIMESTAMP {position['AtTimestamp'] - stage.birth_ms}"
    return str(stage.number_of(position["After"]["sequence"]))


def _documents(stage: Stage, expected: list[dict[str, Any]]) -> Iterator[str]:
    def first(body: dict[str, Any]) -> int:
        sequence = body["KinesisBatchInfo"].get("startSequenceNumber")
        return stage.number_of(sequence) if sequence else 0

    told = sorted(stage.documents, key=first)
    yield from _differ("documents", len(told), len(expected))
    for body, wanted in zip(told, expected, strict=False):
        whole = _whole_document(stage, wanted, body)
        yield from _differ(f"document {wanted.get('records')}", body, whole)
        yield from _differ(f"order of document {wanted.get('records')}", _keys(body), _keys(whole))


def _whole_document(stage: Stage, wanted: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    request = told["requestContext"]["requestId"]
    if "call" in wanted:
        request = stage.calls[wanted["call"] - 1].request
    written = told["timestamp"] if _TIME.fullmatch(told["timestamp"]) else None
    whole: dict[str, Any] = {
        "requestContext": {
            "requestId": request,
            "functionArn": stage.picture.get("function", BASE["FunctionArn"]),
            "condition": wanted["condition"],
            "approximateInvokeCount": wanted["count"],
        }
    }
    if "error" in wanted:
        whole["responseContext"] = {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": wanted["error"],
        }
    whole["version"] = "1.0"
    whole["timestamp"] = written if written and written <= _instant(stage.now_ms) else None
    whole["KinesisBatchInfo"] = _batch_info(stage, wanted)
    if "window" in wanted:
        whole["timeWindowInfo"] = windows.info(stage.calls[wanted["window"] - 1].event)
    return whole


def _batch_info(stage: Stage, wanted: dict[str, Any]) -> dict[str, Any]:
    stream = "arn:aws:penstock:::stream/orders"
    if "records" not in wanted:
        shard = stage.calls[wanted["window"] - 1].event["shardId"]
        return {"shardId": shard, "streamArn": stream}
    first, last = (stage.records[number - 1] for number in wanted["records"])
    return {
        "shardId": first.shard,
        "startSequenceNumber": first.sequence,
        "endSequenceNumber": last.sequence,
        "approximateArrivalOfFirstRecord": _instant(first.arrival_ms),
        "approximateArrivalOfLastRecord": _instant(last.arrival_ms),
        "batchSize": wanted["size"],
        "streamArn": stream,
    }


def _instant(millis: int) -> str:
    moment = datetime.fromtimestamp(millis // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03}Z"


def _keys(value: Any) -> Any:
    """The shape of a value: the keys of objects in their order."""
    if isinstance(value, dict):
        return [[key, _keys(each)] for key, each in value.items()]
    if isinstance(value, list):
        return [_keys(each) for each in value]
    return None


def _stalls(picture: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    if picture.get("stall"):
        found["mapping"] = picture["stall"]["reason"]
    queue = picture.get("queue") or {}
    if queue.get("stall"):
        found["queue"] = queue["stall"]["reason"]
    for number, shard in enumerate(picture.get("shards", ())):
        if shard["stall"]:
            found[f"shard {number}"] = shard["stall"]["reason"]
        for lane in shard["lanes"]:
            if lane["stall"]:
                found[f"lane {number}.{lane['lane']}"] = lane["stall"]["reason"]
    return found
