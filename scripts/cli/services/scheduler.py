"""launchdb scheduler: relay, reaper and pruner in one process."""

from __future__ import annotations

import click

from jobs.loops.scheduler import main
from scripts.cli.services.service import opened_settings


@click.command()
def scheduler() -> None:
    """Ring again, find dead workers, tidy up, until SIGTERM. Several may run."""
    main(opened_settings(patient=True))
