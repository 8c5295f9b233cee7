"""launchdb scheduler: relay, reaper and pruner in one process."""

from __future__ import annotations

import click

from jobs.loops.scheduler import main
from scripts.cli.services.service import opened_settings


@click.command()
@click.option(
    "--without-sweep", is_flag=True, help="Look after the queue alone; `launchdb worker --sweep` does the rest."
)
def scheduler(*, without_sweep: bool) -> None:
    """Ring again, find dead workers, tidy up, compare the world with the catalogue, until SIGTERM. Several may run."""
    main(opened_settings(patient=True), world=not without_sweep)
