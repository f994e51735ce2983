"""Runs an app, or one handler with a source, in the foreground."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click

from penstock import durations
from penstock.app import App
from penstock.cli import console
from penstock.cli.declared import declared_aliases, declared_mappings
from penstock.cli.options import api_options, mapping_options, option, state_option
from penstock.cli.screen import Screen
from penstock.cli.target import load_target
from penstock.errors import ConfigurationError
from penstock.mappings.model import Mapping
from penstock.options import OPTIONS, Origin
from penstock.settings import (
    POOLS,
    parse_address,
    parse_hosts,
    parse_tls,
    read_token,
    state_directory,
)
from penstock.workers.children import Children


@click.command(short_help="Run an app, or a handler with a source.")
@click.argument("target")
@option("--source", help="Where records come from, when TARGET is a handler.")
@state_option
@option("--until-empty", is_flag=True, help="End when everything is read and settled.")
@option("--max-time", metavar="DURATION", help="End after this time at the latest.")
@option("--drain-timeout", metavar="DURATION", help="How long a drain may take.  [default: 30s]")
@option(
    "--workers",
    type=click.IntRange(1, 1024),
    help="Plain functions at once.  [default: 16 threads, or a process for each core]",
)
@option(
    "--coroutines", type=click.IntRange(1, 65536), help="Async handlers at once.  [default: 128]"
)
@option("--pool", type=click.Choice(POOLS), help="What runs plain functions.  [default: threads]")
@option(
    "--child-environment",
    multiple=True,
    metavar="NAME",
    help="A variable that child processes get.  [default: all]",
)
@option("--function-timeout", metavar="DURATION", help="The function's timeout, for a handler.")
@option("--region", help="The AWS region.  [default: as for boto3]", show_default=False)
@option("--endpoint-url", help="The AWS endpoint.  [default: as for boto3]", show_default=False)
@option("--api", metavar="[HOST:]PORT", help="Serve the mapping API beside it.")
@api_options
@option("--silence", multiple=True, metavar="CODE", help="Switch a warning off, such as PS801.")
@option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Of log lines.")
@option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="The least level of log lines.",
)
@mapping_options
def run(target: str, **given: Any) -> None:
    """Run TARGET: module:app, or module.handler with --source and options of its mapping.

    Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 drained but records were discarded,
    4 could not drain in time, 130 interrupted twice.
    """
    run_target(target, given)


def run_target(target: str, given: dict[str, Any]) -> NoReturn:
    """Run what a command was given, and exit with the run's code."""
    out = console.make_console()
    console.configure_logging(given["log_format"], given["log_level"], out)
    app = app_of(load_target(target), target, given)
    for declared in declared_mappings():
        app.override(declared)
    app.settings = replace(app.settings, **overrides(given, app.settings.children))
    screen = Screen(out)
    try:
        report = app.run(
            until="idle" if given["until_empty"] else None,
            max_time=given["max_time"],
            observer=screen,
        )
    finally:
        screen.close()
    console.say(report.sentence())
    for mapping in report.failing:
        console.say(f"mapping {mapping} was failing: see its last message above")
    if not report.drained:
        console.leave(report.exit_code)
    sys.exit(report.exit_code)


def app_of(found: Any, target: str, given: dict[str, Any]) -> App:
    """Give the app that a target is, or one that maps a source to the handler that it is."""
    texts = {name: given[name] for name in OPTIONS if given[name] is not None}
    if isinstance(found, App):
        extra = [f"--{n.replace('_', '-')}" for n in ("source", "function_timeout") if given[n]]
        extra += [f"--{name.replace('_', '-')}" for name in texts]
        if extra:
            raise ConfigurationError(
                f"{target} is an app and has its own mappings; {', '.join(extra)} cannot be used",
                code="PS109",
                path="target",
                hint="change the app, or name a handler: module.handler",
            )
        return found
    if not callable(found):
        raise ConfigurationError(
            f"{target} is neither a penstock.App nor a handler but {type(found).__name__}",
            code="PS109",
            path="target",
        )
    app = App(state=given["state"])
    if not given["source"] and given["api"] is not None:
        app.function(timeout=given["function_timeout"])(found)
        return app
    if not given["source"]:
        raise ConfigurationError(
            f"{target} is a handler and needs --source",
            code="PS113",
            path="--source",
            hint="for example --source stream:orders",
        )
    if given["function_timeout"] is not None:
        app.function(timeout=given["function_timeout"])(found)
    app.add(_mapping_of(found, given["source"], texts))
    return app


def _mapping_of(handler: Any, source: str, texts: dict[str, Any]) -> Mapping:
    origin = Origin(what="penstock run", flags=True)
    values = {name: text for name, text in texts.items() if isinstance(text, str)}
    flags = {name: value for name, value in texts.items() if isinstance(value, bool)}
    return Mapping.from_texts(
        source,
        handler,
        origin,
        {name: (f"--{name.replace('_', '-')}", text) for name, text in values.items()},
        flags,
    )


def overrides(given: dict[str, Any], children: Children) -> dict[str, Any]:
    """Give the settings that the command line has chosen."""
    chosen: dict[str, Any] = {}
    if given["state"] is not None:
        chosen["state"] = state_directory(Path(given["state"]))
    for name in ("workers", "coroutines", "pool"):
        if given.get(name) is not None:
            chosen[name] = given[name]
    if given.get("workers") is not None:
        chosen["processes"] = given["workers"]
    if given.get("child_environment"):
        chosen["children"] = replace(children, environment=given["child_environment"])
    if given["drain_timeout"] is not None:
        option_name = "--drain-timeout"
        chosen["drain_timeout"] = durations.seconds(given["drain_timeout"], option=option_name)
    if given["region"] is not None:
        chosen["region"] = given["region"]
    if given["endpoint_url"] is not None:
        chosen["endpoint"] = given["endpoint_url"]
    if given["api"] is not None:
        chosen["api"] = parse_address(given["api"], option="--api")
    if given["api_token"] is not None:
        chosen["api_token"] = read_token(given["api_token"], option="--api-token")
    if given["api_keys"]:
        chosen["api_keys"] = True
    if given["api_tls_cert"] is not None or given["api_tls_key"] is not None:
        files = given["api_tls_cert"], given["api_tls_key"]
        chosen["api_tls"] = parse_tls(*files, options=("--api-tls-cert", "--api-tls-key"))
    if given["allowed_hosts"]:
        chosen["allowed_hosts"] = parse_hosts(given["allowed_hosts"], option="--allowed-host")
    if given["api_defaults"] != "today":
        chosen["api_defaults"] = given["api_defaults"]
    aliases = declared_aliases(given["source_aliases"])
    if aliases:
        chosen["aliases"] = aliases
    if given["silence"]:
        chosen["silence"] = frozenset(given["silence"])
    return chosen
