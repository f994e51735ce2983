"""Defines where `penstock mapping` looks: a state directory, or an API at a URL."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from penstock.api.remote import Remote, at_url, bearer, signed
from penstock.cli.options import option, state_option
from penstock.errors import ConfigurationError
from penstock.settings import read_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a command was given to find the mappings by."""

    url: str | None
    state: Path | None
    token: Path | None
    sign: bool

    def remote(self) -> Remote | None:
        """Give the API that is to be asked, None when it is a state directory."""
        if self.url is None:
            return None
        if self.sign:
            return at_url(self.url, signed())
        if self.token is not None:
            return at_url(self.url, bearer(read_token(self.token, option="--api-token").text))
        return at_url(self.url)


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --url, --state and how to be known at a URL; the command gets a `place`."""

    @functools.wraps(command)
    def placed(
        *, url: str | None, state: Path | None, api_token: Path | None, sign: bool, **given: Any
    ) -> None:
        _check(url, api_token, sign)
        command(place=Place(url=url, state=state, token=api_token, sign=sign), **given)

    taking = state_option(placed)
    taking = option(
        "--sign", is_flag=True, help="Sign for --url with the credentials that boto3 would use."
    )(taking)
    taking = option(
        "--api-token",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Send the secret in FILE to --url.",
    )(taking)
    return option("--url", metavar="URL", help="The mapping API to ask.")(taking)


def _check(url: str | None, token: Path | None, sign: bool) -> None:
    context = click.get_current_context()
    if token is not None and sign:
        raise ConfigurationError(
            "--api-token and --sign are two ways of being known; one is enough",
            code="PS103",
            path="--sign",
            hint="look at PENSTOCK_API_TOKEN and PENSTOCK_SIGN too",
        )
    # What the environment says is said for all commands, so only what was typed must have a use.
    typed = ParameterSource.COMMANDLINE
    unused = [
        name
        for name in ("api_token", "sign")
        if url is None and context.get_parameter_source(name) is typed
    ]
    if unused:
        raise ConfigurationError(
            f"--{unused[0].replace('_', '-')} needs --url: a state directory asks for nothing",
            code="PS113",
            path="--url",
        )
