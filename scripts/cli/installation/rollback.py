"""launchdb rollback: an earlier version, where the schema allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scripts.cli.installation.update import become, by_shell, chosen, code_of, installed, interruptible, probe, told
from scripts.cli.output import json_option, note
from scripts.stack import update as updates
from scripts.stack.alone import alone

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("version", required=False)
@by_shell
@json_option
def rollback(*, version: str | None, folder: Path | None, as_json: bool) -> None:
    """Go back to VERSION; without one, to what ran before the last update.

    Data stay as they are. Refused when a change of the schema since then cannot be lived with; it says which.
    """
    there = installed()
    with alone(there.home, "rollback"), interruptible():
        target = updates.prepare_rollback(there, version, code_of(folder), note)
        if folder is not None:
            # An earlier version may know less of this home than the one that runs.
            become(there.settings.version, "rollback", target, *chosen("--json", as_json))
            return
        done = updates.rollback(there, target, probe, note)
    told(done, as_json=as_json)
