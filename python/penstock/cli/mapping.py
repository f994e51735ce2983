"""Lists, makes, changes and deletes mappings, of a state directory or of a running API.

Rules: with --url the API there is asked; else the owner of the state directory, and when nothing
runs on it the directory itself; MAPPING is an id, the beginning of one, or a function's name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from penstock import durations
from penstock.api.client import Client
from penstock.api.remote import Owner, Remote
from penstock.api.validation import checked
from penstock.cli import console
from penstock.cli.options import api_mapping_options, directory_of, json_option
from penstock.cli.place import Place, place_options
from penstock.cli.state import open_state
from penstock.errors import MappingNotFound, PenstockError
from penstock.mappings.model import Mapping as Written
from penstock.mappings.offline import offline_service
from penstock.options import OPTIONS, Origin, parse_text, resolve
from penstock.sources import destination_arn

F = TypeVar("F", bound=Callable[..., Any])

_LOOK_SECONDS: Final = 0.1
_MOVING: Final = ("Creating", "Enabling", "Disabling", "Updating", "Deleting")
_FIXED: Final = ("starting_position", "starting_position_timestamp")
_ORIGIN: Final = Origin(what="penstock mapping", flags=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Who is asked about mappings."""

    described: Callable[[], list[dict[str, Any]]]
    create: Callable[[Mapping[str, Any]], dict[str, Any]]
    update: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    delete: Callable[[str], dict[str, Any]]
    owner: Client | None = None


@click.group()
def mapping() -> None:
    """List, make, change and delete mappings."""


@mapping.command("list")
@json_option
@place_options
def list_mappings(as_json: bool, place: Place) -> None:
    """List the mappings, and where each comes from."""
    with desk_of(place) as desk:
        found = desk.described()
    if as_json:
        console.data_json({"mappings": found})
        return
    for each in found:
        console.data("\t".join(_columns(each)))


@mapping.command()
@click.argument("mapping")
@json_option
@place_options
def show(mapping: str, as_json: bool, place: Place) -> None:
    """Show everything about MAPPING."""
    with desk_of(place) as desk:
        found = _found(desk, mapping)
    _tell(found, as_json=as_json)


@mapping.command()
@click.option("--function", required=True, help="The name of a registered function.")
@click.option("--source", required=True, help="stream:NAME, or the ARN of what is read.")
@json_option
@place_options
@api_mapping_options(without=())
def create(function: str, source: str, as_json: bool, place: Place, **given: Any) -> None:
    """Map a source to a function."""
    texts = {
        name: (_ORIGIN.spell(name), text) for name, text in given.items() if isinstance(text, str)
    }
    flags = {name: value for name, value in given.items() if isinstance(value, bool)}
    written = Written.from_texts(source, function, _ORIGIN, texts, flags)
    request = {key: _plain(value) for key, value in written.to_api().items()}
    with desk_of(place) as desk:
        made = desk.create(checked("CreateEventSourceMapping", request))
    _tell(made, as_json=as_json)


@mapping.command()
@click.argument("mapping")
@click.option("--function", help="The name of another registered function.")
@json_option
@place_options
@api_mapping_options(without=_FIXED)
def update(
    mapping: str,
    function: str | None,
    as_json: bool,
    place: Place,
    **given: Any,
) -> None:
    """Change options of MAPPING; what is not named stays as it is."""
    request = _changes(given)
    if function is not None:
        request["FunctionName"] = function
    with desk_of(place) as desk:
        changed = _update(desk, mapping, request)
    _tell(changed, as_json=as_json)


@mapping.command()
@click.argument("mapping")
@json_option
@place_options
def delete(mapping: str, as_json: bool, place: Place) -> None:
    """Delete MAPPING; what it is doing is finished first."""
    with desk_of(place) as desk:
        gone = desk.delete(str(_found(desk, mapping)["UUID"]))
    _tell(gone, as_json=as_json)


@mapping.command()
@click.argument("mapping")
@place_options
def pause(mapping: str, place: Place) -> None:
    """Let MAPPING start nothing new; one that the API made stays so until it is resumed."""
    _switch(mapping, place, enabled=False)


@mapping.command()
@click.argument("mapping")
@place_options
def resume(mapping: str, place: Place) -> None:
    """Let MAPPING go on."""
    _switch(mapping, place, enabled=True)


@mapping.command()
@click.argument("mapping")
@click.option("--timeout", default="60s", metavar="DURATION", show_default=True, help="How long.")
@place_options
def wait(mapping: str, timeout: str, place: Place) -> None:
    """Wait until MAPPING is in no state in between, or gone; say which state it is in."""
    limit = durations.seconds(timeout, option="--timeout")
    deadline = time.monotonic() + limit
    with desk_of(place) as desk:
        uuid = str(_found(desk, mapping)["UUID"])
        while (now := _state_of(desk, uuid)) in _MOVING:
            if time.monotonic() >= deadline:
                raise PenstockError(
                    f"mapping {uuid} is still {now}",
                    hint="penstock why tells what it is waiting for",
                )
            time.sleep(_LOOK_SECONDS)
    console.data(now)


@contextmanager
def desk_of(place: Place) -> Iterator[Desk]:
    """Find who is to be asked."""
    remote = place.remote()
    if remote is not None:
        yield _desk(remote, None)
        return
    directory = directory_of(place.state)
    with open_state(place.state) as opened:
        if opened.owner is not None:
            yield _desk(Owner(directory), opened.owner)
            return
        assert opened.runtime is not None, "a directory without an owner is opened here"
        with offline_service(directory, opened.runtime.forget_checkpoints) as service:
            yield Desk(
                described=service.described,
                create=service.create,
                update=service.update,
                delete=service.delete,
            )


def _desk(remote: Remote, owner: Client | None) -> Desk:
    return Desk(
        described=remote.described,
        create=remote.create,
        update=remote.update,
        delete=remote.delete,
        owner=owner,
    )


def _found(desk: Desk, text: str) -> dict[str, Any]:
    described = desk.described()
    named = [e for e in described if text in {e["UUID"], e["FunctionArn"].split(":function:")[1]}]
    found = named or [e for e in described if len(text) >= 4 and e["UUID"].startswith(text)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(each["UUID"] for each in (found or described))
    raise MappingNotFound(
        f"{'more than one' if found else 'no'} mapping is called {text!r}",
        hint=f"mappings: {known or 'none'}",
    )


def _state_of(desk: Desk, uuid: str) -> str:
    return next((str(e["State"]) for e in desk.described() if e["UUID"] == uuid), "gone")


def _switch(text: str, place: Place, *, enabled: bool) -> None:
    with desk_of(place) as desk:
        found = _found(desk, text)
        if found.get("Origin", "api") == "api":
            changed = _update(desk, str(found["UUID"]), {"Enabled": enabled})
            console.say(f"mapping {found['UUID']} is {changed['State']}")
        elif desk.owner is not None:
            (desk.owner.resume if enabled else desk.owner.pause)(str(found["UUID"]))
            console.say(f"mapping {found['UUID']} {'goes on' if enabled else 'is paused'}")


def _update(desk: Desk, text: str, request: dict[str, Any]) -> dict[str, Any]:
    uuid = str(_found(desk, text)["UUID"])
    asked = checked("UpdateEventSourceMapping", request | {"UUID": uuid})
    del asked["UUID"]
    return desk.update(uuid, asked)


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            text = isinstance(value, str)
            values[name] = parse_text(name, value, _ORIGIN.spell(name)) if text else value
    read, _ = resolve(values, _ORIGIN)
    request: dict[str, Any] = {}
    for name, value in read.items():
        path = OPTIONS[name].path
        if path.startswith("DestinationConfig"):
            destination = destination_arn(value, where="--on-failure")
            request["DestinationConfig"] = {"OnFailure": {"Destination": destination}}
        else:
            request[path] = OPTIONS[name].write(value)
    return request


def _plain(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime) else value


def _columns(found: dict[str, Any]) -> Iterator[str]:
    yield str(found["UUID"])
    yield str(found["State"])
    yield str(found["FunctionArn"]).split(":function:")[1]
    yield str(found.get("EventSourceArn") or "self-managed")
    if "Origin" in found:
        yield f"from {found['Origin']}"


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.data_json(found)
        return
    for name, value in found.items():
        console.data(f"{name}\t{value}")
