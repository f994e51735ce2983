"""Checks what `penstock run` would run: configuration, reachability and permissions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import click

from penstock import checks
from penstock.checks import Checked, Finding, Result
from penstock.cli import console
from penstock.cli.options import json_option, mapping_options, option, state_option
from penstock.cli.run import app_of, overrides
from penstock.cli.target import load_target
from penstock.wording import counted

# The options of run that nothing is checked by, as they are when they are not given.
_OF_RUN: Final = {
    "drain_timeout": None, "api": None, "api_defaults": "today", "source_aliases": (),
    "api_token": None, "api_keys": False, "api_tls_cert": None, "api_tls_key": None,
    "allowed_hosts": (),
}  # fmt: skip


@click.command(short_help="Check an app, or a handler with a source, without running it.")
@click.argument("target")
@option("--source", help="Where records come from, when TARGET is a handler.")
@state_option
@option(
    "--workers", type=click.IntRange(1, 1024), help="Threads for plain functions.  [default: 16]"
)
@option(
    "--coroutines", type=click.IntRange(1, 65536), help="Async handlers at once.  [default: 128]"
)
@option("--function-timeout", metavar="DURATION", help="The function's timeout, for a handler.")
@option("--region", help="The AWS region.  [default: as for boto3]", show_default=False)
@option("--endpoint-url", help="The AWS endpoint.  [default: as for boto3]", show_default=False)
@option("--silence", multiple=True, metavar="CODE", help="Switch a warning off, such as PS801.")
@json_option
@mapping_options
def check(target: str, as_json: bool, **given: Any) -> None:
    """Check TARGET, which is as for run, without consuming anything.

    Looks at the configuration, the handlers, the sources and whether they may be read, the
    destinations and the state directory. No record is handled and nothing is saved.

    Exit codes: 0 all is well, 1 something failed, 2 usage or configuration.
    """
    given = _OF_RUN | given
    app = app_of(load_target(target), target, given)
    app.settings = replace(app.settings, **overrides(given, app.settings.children))
    result = checks.check(app)
    if as_json:
        console.data_json(_document(result))
    else:
        for line in _lines(result):
            console.data(line)
    bad = [finding for finding in result.findings if not finding.good]
    console.say(_sentence(len(result.findings), len(bad)))
    if any(finding.subject == checks.CONFIGURATION for finding in bad):
        sys.exit(console.USAGE)
    sys.exit(console.FAILED if bad else console.DONE)


def _sentence(count: int, bad: int) -> str:
    good = f"{counted(count - bad, 'check')} passed"
    return f"{good}, {bad} failed" if bad else good


def _lines(result: Result) -> Iterator[str]:
    for finding in result.general:
        yield from _finding_lines(finding, "")
    for mapping in result.mappings:
        yield mapping.plan.line() if mapping.plan else f"{mapping.name} ← {mapping.source}"
        for finding in mapping.findings:
            yield from _finding_lines(finding, "  ")
        for code, sentence in mapping.warnings:
            yield f"  warning {sentence} [{code}]"


def _finding_lines(finding: Finding, indent: str) -> Iterator[str]:
    word = "ok" if finding.good else "FAILED"
    code = f" [{finding.code}]" if finding.code else ""
    yield f"{indent}{word:<7} {finding.subject}: {finding.said}{code}"
    if finding.hint:
        yield f"{indent}        hint: {finding.hint}"


def _document(result: Result) -> dict[str, Any]:
    return {
        "ok": all(finding.good for finding in result.findings),
        "findings": [finding.document() for finding in result.general],
        "mappings": [_mapping_document(mapping) for mapping in result.mappings],
    }


def _mapping_document(mapping: Checked) -> dict[str, Any]:
    return {
        "function": mapping.name,
        "source": mapping.source,
        "id": mapping.plan.id if mapping.plan else None,
        "plan": mapping.plan.line() if mapping.plan else None,
        "findings": [finding.document() for finding in mapping.findings],
        "warnings": [{"code": code, "said": said} for code, said in mapping.warnings],
    }
