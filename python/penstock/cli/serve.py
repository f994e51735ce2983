"""Serves the mapping API for the functions of an app, or for one handler."""

from __future__ import annotations

from typing import Any, Final

import click

from penstock.cli.options import api_options, option, state_option
from penstock.cli.run import run_target
from penstock.options import OPTIONS

DEFAULT_API: Final = "127.0.0.1:9401"


@click.command(short_help="Serve the mapping API for an app's functions.")
@click.argument("target")
@option("--api", metavar="[HOST:]PORT", default=DEFAULT_API, help="Where the API is served.")
@api_options
@state_option
@option("--drain-timeout", metavar="DURATION", help="How long a drain may take.  [default: 30s]")
@option(
    "--workers", type=click.IntRange(1, 1024), help="Threads for plain functions.  [default: 16]"
)
@option(
    "--coroutines", type=click.IntRange(1, 65536), help="Async handlers at once.  [default: 128]"
)
@option("--function-timeout", metavar="DURATION", help="The function's timeout, for a handler.")
@option("--max-time", metavar="DURATION", help="End after this time at the latest.")
@option("--region", help="The AWS region.  [default: as for boto3]", show_default=False)
@option("--endpoint-url", help="The AWS endpoint.  [default: as for boto3]", show_default=False)
@option("--silence", multiple=True, metavar="CODE", help="Switch a warning off, such as PS801.")
@option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Of log lines.")
@option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="The least level of log lines.",
)
def serve(target: str, **given: Any) -> None:
    """Serve the mapping API for TARGET: module:app, or module.handler.

    Mappings that the API makes are kept in the state directory, and go on after a restart; those
    that the app has run beside them. The aws CLI and boto3 need nothing but --endpoint-url.
    """
    run_target(target, given | {"source": None, "until_empty": False} | dict.fromkeys(OPTIONS))
