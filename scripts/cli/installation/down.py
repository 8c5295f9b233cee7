"""launchdb down: stop the installation of a home."""

from __future__ import annotations

from pathlib import Path

import click

from config import installation
from config.settings import load
from infra.embedded import launch
from scripts.cli.output import json_option, print_json, print_lines, print_note
from scripts.stack import start
from scripts.stack.host_lock import host_lock
from scripts.stack.stack import Stack


@click.command()
@click.option("--home", type=click.Path(file_okay=False), help="Folder of all state (LAUNCHDB_HOME).")
@json_option
def down(*, home: str | None, as_json: bool) -> None:
    """Stop workers, API, scheduler, Valkey and Postgres, in this order. Nothing to stop is fine.

    An installation in containers: the workers, the projects' containers, then everything else. Data is kept.
    """
    folder = installation.find_home({"LAUNCHDB_HOME": home}) if home else installation.find_home()
    if folder is not None:
        with host_lock(folder, "down"):
            stopped = start.take_down(Stack.of(folder), print_note)
    else:
        settings = load(over={"LAUNCHDB_HOME": home} if home else None)
        folder = Path(settings.home)
        stopped = launch.stop(settings)
    if as_json:
        print_json({"stopped": stopped, "home": str(folder)})
        return
    print_lines([f"LaunchDB on {folder} {'stopped' if stopped else 'was not running'}"])
