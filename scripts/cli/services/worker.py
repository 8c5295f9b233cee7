"""launchdb worker: one worker process."""

from __future__ import annotations

import click

from jobs.loops.scheduler import world_loops
from scripts.cli.services.service import opened_settings
from workers.process import main

QUEUES = ("control", "bulk")


@click.command()
@click.option("--queues", default=",".join(QUEUES), show_default=True, help="Comma-separated queues to serve.")
@click.option("--sweep", is_flag=True, help="Also compare the world with the catalogue, for a scheduler that does not.")
def worker(*, queues: str, sweep: bool) -> None:
    """Run jobs until SIGTERM; a short step is finished first, the rest is given back."""
    names = [name.strip() for name in queues.split(",") if name.strip()]
    if not names or not set(names) <= set(QUEUES):
        raise click.BadParameter(f"queues are {', '.join(QUEUES)}", param_hint="--queues")
    main(opened_settings(patient=True), names, beside=world_loops if sweep else None)
