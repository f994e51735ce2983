"""Defines the options that several commands share, and one flag per mapping option.

Rules: every option has an environment variable PENSTOCK_…, shown in the help; the command line goes
before the environment, the environment before penstock.toml or [tool.penstock], those before the
defaults.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from penstock.errors import ConfigurationError
from penstock.options import OPTIONS, Option
from penstock.settings import DEFAULT_STATE, MEMORY, state_directory

# What the file declares besides settings of commands.
DECLARED: Final = ("mappings", "aliases")

F = TypeVar("F", bound=Callable[..., Any])

_SHORT: Final = {
    "maximum_retry_attempts": "--retry-attempts",
    "maximum_record_age_in_seconds": "--max-record-age",
    "bisect_batch_on_function_error": "--bisect-batch-on-error",
    "maximum_batching_window_in_seconds": "--max-batching-window",
}


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Make an option with its environment variable."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "PENSTOCK_" + long.removeprefix("--").replace("-", "_").upper()
    defaults: dict[str, Any] = {"envvar": variable, "show_envvar": True, "show_default": True}
    return click.option(*names, **(defaults | settings))


def state_option(command: F) -> F:
    """Add --state."""
    return option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        help=f"The state directory.  [default: {DEFAULT_STATE}]",
        show_default=False,
    )(command)


def json_option(command: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Write data as JSON.")(command)


def mapping_options(command: F) -> F:
    """Add one flag for each option of a mapping."""
    return _flags(command, OPTIONS.values())


def api_mapping_options(*, without: Collection[str]) -> Callable[[F], F]:
    """Add one flag for each option that Lambda's API has, except some."""
    known = [
        each
        for each in OPTIONS.values()
        if each.name not in without and each.path != "UUID" and "Penstock." not in each.path
    ]
    return lambda command: _flags(command, known)


def _flags(command: F, options: Collection[Option]) -> F:
    for each in reversed(list(options)):
        flag = "--" + each.name.replace("_", "-")
        text = each.help[0].upper() + each.help[1:] + "."
        if each.kind == "flag":
            short = _SHORT.get(each.name)
            names = [f"{flag}/--no-{flag[2:]}"] + ([short] if short else [])
            command = option(*names, each.name, default=None, help=text)(command)
        else:
            names = [flag] + ([_SHORT[each.name]] if each.name in _SHORT else [])
            command = option(*names, each.name, metavar=each.kind.upper(), help=text)(command)
    return command


def api_options(command: F) -> F:
    """Add the options of the mapping API, and of what its sources stand for."""
    command = option(
        "--source-alias",
        "source_aliases",
        multiple=True,
        metavar="ARN=SOURCE[@URL]",
        help="Read SOURCE, of the endpoint URL, wherever ARN is named.",
    )(command)
    command = option(
        "--allowed-host",
        "allowed_hosts",
        multiple=True,
        metavar="HOST",
        help="A name that requests may call this machine by, besides localhost.",
    )(command)
    command = option(
        "--api-tls-key",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="The certificate's key, in PEM form.  [default: in the certificate's file]",
    )(command)
    command = option(
        "--api-tls-cert",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Serve HTTPS, with the chain of certificates in FILE, in PEM form.",
    )(command)
    command = option(
        "--api-token",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Ask every request for the secret in FILE: Authorization: Bearer.",
    )(command)
    command = option(
        "--api-keys",
        is_flag=True,
        help="Ask every request for a key or token of penstock keys create.",
    )(command)
    return option(
        "--api-defaults",
        type=click.Choice(["today", "2019"]),
        default="today",
        help="Of which year the defaults of the mapping API are.",
    )(command)


def directory_of(state: Path | None) -> Path:
    """Give the state directory of a command that needs one on disk."""
    found = state_directory(state)
    if found is None:
        raise ConfigurationError(
            f"{MEMORY} is no directory that another terminal could look into",
            path="state",
            hint="name the state directory of a running engine",
        )
    return found


def read_defaults(group: click.Group) -> dict[str, Any]:
    """Read penstock.toml, or [tool.penstock] of pyproject.toml, as defaults of all commands."""
    file, table = configuration()
    if not table:
        return {}
    commands = {name: _parameters(each) for name, each in group.commands.items()}
    everything = set().union(*commands.values(), commands, DECLARED)
    for key in table:
        name = key.replace("-", "_")
        if name not in everything:
            close = difflib.get_close_matches(name, sorted(everything), n=1)
            raise ConfigurationError(
                f"there is no setting {key}",
                code="PS101",
                path=key,
                where=str(file),
                hint=f"did you mean {close[0]}?" if close else None,
            )
    shared = {key.replace("-", "_"): value for key, value in table.items() if key not in DECLARED}
    defaults: dict[str, Any] = {}
    for name, parameters in commands.items():
        own = shared.get(name) if isinstance(shared.get(name), dict) else {}
        defaults[name] = {key: value for key, value in shared.items() if key in parameters}
        defaults[name] |= {key.replace("-", "_"): value for key, value in (own or {}).items()}
    return defaults


def configuration() -> tuple[Path | None, dict[str, Any]]:
    """Give the file that configures this directory, and its table."""
    for file, keys in ((Path("penstock.toml"), ()), (Path("pyproject.toml"), ("tool", "penstock"))):
        if not file.is_file():
            continue
        try:
            table: Any = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{file} is not TOML: {error}", path=str(file), hint="mend that line"
            ) from None
        for key in keys:
            table = table.get(key, {})
        if table:
            return file, table
    return None, {}


def _parameters(command: click.Command) -> set[str]:
    found = {parameter.name for parameter in command.params if parameter.name}
    if isinstance(command, click.Group):
        for each in command.commands.values():
            found |= _parameters(each)
    return found
