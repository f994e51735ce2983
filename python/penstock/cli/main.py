"""Holds the command `penstock` and hands over to the one below it.

Rules: a command's module is loaded when the command is used, so that `--help` is quick; errors of
penstock become messages and exit codes here.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any, Final

import click

from penstock.cli import console
from penstock.cli.options import read_defaults
from penstock.errors import PenstockError

_COMMANDS: Final = {
    "demo": "penstock.cli.demo",
    "run": "penstock.cli.run",
    "serve": "penstock.cli.serve",
    "mapping": "penstock.cli.mapping",
    "keys": "penstock.cli.keys",
    "check": "penstock.cli.check",
    "stream": "penstock.cli.stream",
    "queue": "penstock.cli.queue",
    "why": "penstock.cli.why",
    "checkpoint": "penstock.cli.checkpoint",
    "filter": "penstock.cli.filter",
    "version": "penstock.cli.version",
}


class Commands(click.Group):
    """Finds commands in their modules."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Name the commands in the order in which people meet them."""
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        self.commands[cmd_name] = command
        return command


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run Python handlers on streams and queues by the rules of Lambda's event source mappings."""
    group = ctx.command
    assert isinstance(group, Commands)
    for name in _COMMANDS:
        group.get_command(ctx, name)
    ctx.default_map = read_defaults(group)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    warnings.showwarning = console.show_warning
    try:
        cli.main(args=arguments, prog_name="penstock", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(console.FAILED)
    except PenstockError as error:
        console.explain(error)
        sys.exit(console.exit_code(error))


def loaded(name: str) -> Any:
    """Give a command by name, for tests and documents."""
    return cli.get_command(click.Context(cli), name)
