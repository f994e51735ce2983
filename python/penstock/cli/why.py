"""Tells for every mapping, shard and lane that does not move why, since when, what ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from penstock.api.client import Client
from penstock.cli import console
from penstock.cli.options import directory_of, json_option, state_option
from penstock.errors import MappingNotFound
from penstock.wording import words


@click.command(short_help="Tell why mappings, shards and lanes do not move.")
@click.argument("mapping", required=False)
@json_option
@state_option
def why(mapping: str | None, as_json: bool, state: Path | None) -> None:
    """Tell why shards and lanes of MAPPING (or of all) do not move."""
    answer = Client(directory_of(state)).why()
    found = [
        _explained(each, answer)
        for each in answer["snapshot"]["mappings"]
        if mapping is None or _is_called(each["mapping"], mapping, answer["names"])
    ]
    if mapping is not None and not found:
        names = ", ".join(name["function"] for name in answer["names"].values())
        raise MappingNotFound(f"no mapping is called {mapping!r}", hint=f"mappings: {names}")
    if as_json:
        console.data_json({"mappings": found, "children": answer["children"]})
        return
    for each in found:
        console.data(f"{each['function']} ({each['source']}): {each['state']}")
        for reason in each["reasons"]:
            console.data(f"  {reason['place']}: {reason['text']}")
            for line in reason.get("stack", ()):
                console.data(f"    {line}")
    for child in answer["children"]:
        if child["state"] not in {"ready", "busy"}:
            console.data(f"child process of slot {child['slot']}: {child_state(child)}")


def child_state(child: dict[str, Any]) -> str:
    """Say what a child process that takes no invocations is doing."""
    reason = f": {child['message']}" if child["message"] else ""
    return f"{child['state']}{reason}, for {words(max(0.0, time.time() - child['since']))}"


def reasons(mapping: dict[str, Any], running: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give every reason in a mapping's snapshot, with words for people."""
    stacks = {each["invocation"]: each["stack"] for each in running}
    if mapping["stall"]:
        yield _reason("mapping", None, None, mapping["stall"], {})
    queue = mapping.get("queue")
    if queue is not None:
        yield from _queue_reasons(queue, mapping, running)
    for shard in mapping["shards"]:
        name = shard["shard"]
        stalls = [(lane["lane"], lane["stall"]) for lane in shard["lanes"] if lane["stall"]]
        if shard["stall"]:
            yield _reason(name, name, None, shard["stall"], stacks)
        for lane, stall in stalls:
            yield _reason(f"{name} lane {lane}", name, lane, stall, stacks)
        if not stalls and not shard["stall"]:
            yield {"place": name, "shard": name, "lane": None, "reason": "moving",
                   "text": "moving"}  # fmt: skip


def _queue_reasons(
    queue: dict[str, Any], mapping: dict[str, Any], running: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for each in running:
        yield {
            "place": f"invocation {each['invocation']}", "shard": each["shard"], "lane": None,
            "reason": "in_handler", "invocation": each["invocation"],
            "text": f"in the handler, for {words(each['seconds'])}", "stack": each["stack"],
        }  # fmt: skip
    busy = f"{queue['in_flight']} of {queue['concurrency']} at once"
    if queue["stall"]:
        found = _reason("queue", None, None, queue["stall"], {})
        yield found | {"text": f"{found['text']}; {busy}"}
    elif not running and not mapping["stall"]:
        yield {"place": "queue", "shard": None, "lane": None, "reason": "moving",
               "text": f"moving; {busy}"}  # fmt: skip


def sentence(stall: dict[str, Any], now: float) -> str:
    """Say one reason in words: what, since when, what ends it."""
    text = _WORDS[stall["reason"]](stall)
    lasted = max(0.0, now - stall["since"] / 1000)
    text += f", for {words(lasted)}"
    if stall.get("until") is not None:
        left = stall["until"] / 1000 - now
        text += f", until in {words(left)}" if left > 0 else ", ends now"
    return text


def _explained(mapping: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    name = answer["names"].get(mapping["mapping"], {})
    running = [r for r in answer["running"] if r["mapping"] == mapping["mapping"]]
    return mapping | {
        "function": name.get("function", mapping["handler"]),
        "source": name.get("source", mapping["source_arn"]),
        "reasons": list(reasons(mapping, running)),
    }


def _reason(
    place: str, shard: str | None, lane: int | None, stall: dict[str, Any], stacks: dict[int, Any]
) -> dict[str, Any]:
    found = {"place": place, "shard": shard, "lane": lane, **stall}
    found["text"] = sentence(stall, time.time())
    if stall["reason"] == "in_handler" and stall["invocation"] in stacks:
        found["stack"] = stacks[stall["invocation"]]
    return found


def _in_handler(stall: dict[str, Any]) -> str:
    late = ", longer than the function's timeout" if stall["overdue"] else ""
    return f"in the handler (attempt {stall['attempt']}{late})"


def _backing_off(stall: dict[str, Any]) -> str:
    return (
        f"backing off after {stall['attempts']} attempts at record {stall['record']}: "
        f"{stall['error']}"
    )


_WORDS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "in_handler": _in_handler,
    "backing_off": _backing_off,
    "closing_window": lambda s: (
        f"the final call of a window failed {s['attempts']} times: {s['error']}"
    ),
    "waiting_for_parents": lambda s: f"waiting for its parents {', '.join(s['parents'])}",
    "throttled": lambda s: f"throttled by the source: {s['message']}",
    "source_failing": lambda s: f"the source fails ({s['fault']}): {s['message']}",
    "waiting_for_records": lambda _: "waiting for records",
    "waiting_for_window": lambda _: "waiting for the batching window",
    "no_free_worker": lambda _: "a batch is due and every worker is busy",
    "paused": lambda _: "paused",
    "draining": lambda _: "draining",
    "too_far_ahead": lambda _: "too far ahead of the shard's slowest lane",
    "buffer_full": lambda _: "enough is read already; handlers must catch up",
    "destination_failing": lambda s: f"the destination fails: {s['message']}",
    "checkpoint_failing": lambda s: f"the checkpoint cannot be saved: {s['message']}",
    "waiting_for_lease": lambda s: f"waiting for the lease: {s['message'] or 'asked for it'}",
    "ended": lambda _: "ended: everything in it is settled",
}


def _is_called(mapping: str, text: str, names: dict[str, dict[str, str]]) -> bool:
    name = names.get(mapping, {})
    return text in {mapping, name.get("function"), name.get("source")} or (
        len(text) >= 4 and mapping.startswith(text)
    )
