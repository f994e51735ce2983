"""Tells the version of penstock, of its engine and of what it runs on."""

from __future__ import annotations

import platform

import click

from penstock import _bridge
from penstock.cli import console
from penstock.cli.options import json_option


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Tell the version."""
    facts = {
        "version": _bridge.version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "build": "debug" if _bridge.debug_build() else "release",
        "features": _bridge.features(),
    }
    if as_json:
        console.data_json(facts)
        return
    features = ", ".join(facts["features"])
    console.data(f"penstock {facts['version']} ({facts['build']} build; {features})")
    console.data(f"Python {facts['python']} on {facts['platform']}")
