"""launchdb down: stop the installation of a home."""

from __future__ import annotations

import click

from config.settings import load
from infra.embedded import launch
from scripts.cli.output import emit, emit_json, json_option


@click.command()
@click.option("--home", type=click.Path(file_okay=False), help="Folder of all state (LAUNCHDB_HOME).")
@json_option
def down(*, home: str | None, as_json: bool) -> None:
    """Stop workers, API, scheduler, Valkey and Postgres, in this order. Nothing to stop is fine."""
    settings = load(over={"LAUNCHDB_HOME": home} if home else None)
    stopped = launch.stop(settings)
    if as_json:
        emit_json({"stopped": stopped, "home": str(settings.home)})
        return
    emit([f"LaunchDB on {settings.home} {'stopped' if stopped else 'was not running'}"])
