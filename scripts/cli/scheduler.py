"""launchdb scheduler: relay, reaper and pruner in one process."""

from __future__ import annotations

import click

from config.settings import load
from jobs.scheduler import main


@click.command()
def scheduler() -> None:
    """Ring again, find dead workers, tidy up, until SIGTERM. Several may run."""
    main(load())
