"""Makes, lists and revokes the keys and tokens that callers of the mapping API are known by.

Rules: a secret is shown once, when it is made, on standard output; a running penstock serve sees
what was made or revoked at the next request.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from penstock import durations
from penstock.api.keys import KEY, TOKEN, KeyRing
from penstock.api.scopes import ADMIN, SCOPES
from penstock.audit import Audit, local_asker
from penstock.cli import console
from penstock.cli.options import directory_of, json_option, state_option
from penstock.errors import CheckpointError, ConfigurationError

_LIFETIME_MAX: Final = 100 * 365 * 86_400.0


@click.group()
def keys() -> None:
    """Make, list and revoke keys of the mapping API, for --api-keys."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    default=ADMIN,
    show_default=True,
    help="read: look; operate: also switch mappings on and off, and invoke; admin: everything.",
)
@click.option("--token", "is_token", is_flag=True, help="A token, sent as Authorization: Bearer.")
@click.option("--expires", metavar="DURATION", help="Good for this time only, such as 12h or 30d.")
@json_option
@state_option
def create(
    name: str, scope: str, is_token: bool, expires: str | None, as_json: bool, state: Path | None
) -> None:
    """Make a key named NAME for the aws CLI and boto3, or a token; its secret is shown once."""
    lifetime = None if expires is None else _lifetime(expires)
    ring, kind = _ring(state, make=True), TOKEN if is_token else KEY
    asked = {"name": name, "scope": scope, "kind": kind, "lifetime": lifetime}
    with Audit(directory_of(state)).changing("key.create", local_asker(), asked=asked) as change:
        made, secret = ring.create(name=name, scope=scope, kind=kind, lifetime=lifetime)
        change.after = made.described()
    told = {"Token": secret} if is_token else {"AccessKeyId": made.id, "SecretAccessKey": secret}
    if as_json:
        console.data_json({"Name": name, "Scope": scope, **told})
    elif is_token:
        console.data(secret)
    else:
        console.data(f"AWS_ACCESS_KEY_ID={made.id}")
        console.data(f"AWS_SECRET_ACCESS_KEY={secret}")
    until = "" if made.expires is None else f" until {_spelled(made.expires)}"
    console.say(f"{made.kind} {name} may {scope}{until}; its secret is not shown again")


@keys.command("list")
@json_option
@state_option
def list_keys(as_json: bool, state: Path | None) -> None:
    """List the keys and tokens, without their secrets."""
    found = _ring(state).all()
    if as_json:
        console.data_json({"keys": [each.described() for each in found]})
        return
    for each in found:
        columns = [each.id, each.kind, each.name, each.scope, _spelled(each.made)]
        if each.expires is not None:
            word = "expired" if each.is_expired(time.time()) else "expires"
            columns.append(f"{word} {_spelled(each.expires)}")
        console.data("\t".join(columns))


@keys.command()
@click.argument("key")
@state_option
def revoke(key: str, state: Path | None) -> None:
    """Take KEY away, an id or a name; the next request with it is refused."""
    ring, asked = _ring(state), {"key": key}
    with Audit(directory_of(state)).changing("key.revoke", local_asker(), asked=asked) as change:
        gone = ring.revoke(key)
        change.before = gone.described()
    console.say(f"{gone.kind} {gone.name} ({gone.id}) is revoked")


def _lifetime(text: str) -> float:
    found = durations.seconds(text, option="--expires")
    if not 0 < found <= _LIFETIME_MAX:
        raise ConfigurationError(
            f"--expires {text} is no time that a key could be good for",
            code="PS112",
            path="--expires",
            hint="write for example 12h or 30d; without it a key is good until it is revoked",
        )
    return found


def _spelled(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _ring(state: Path | None, *, make: bool = False) -> KeyRing:
    directory = directory_of(state)
    if make:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not directory.is_dir():
        raise CheckpointError(
            f"there is no state directory {directory}",
            hint="name it with --state, or make a first key with penstock keys create",
        )
    return KeyRing(directory)
