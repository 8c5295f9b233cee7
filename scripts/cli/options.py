"""Options and questions that several commands share."""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import click

from scripts.cli.errors import USAGE, CliError
from scripts.cli.output import strip_control

F = TypeVar("F", bound=Any)


def wait_options(command: F) -> F:
    """Add --no-wait and --timeout."""
    command = click.option("--no-wait", is_flag=True, help="Return as soon as the job is accepted.")(command)
    return click.option(
        "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer; the job goes on (exit 124)."
    )(command)


def partial_option(command: F) -> F:
    """Add --partial."""
    help_text = "Also when something of it cannot come back; what that is, is told."
    return click.option("--partial", is_flag=True, help=help_text)(command)


def confirm(name: str, what: str, *, yes: bool) -> None:
    """Ask for the name of what is about to be destroyed. Raises CliError (2) unless it is given."""
    if yes:
        return
    click.echo(f"This destroys {what}. Type its name ({strip_control(name)}) to go on: ", nl=False, err=True)
    if sys.stdin.readline().rstrip("\n") != name:
        raise CliError("the name was not given; nothing was changed (--yes goes without asking)", USAGE)
