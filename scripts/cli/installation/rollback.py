"""launchdb rollback: an earlier version, where the schema allows it."""

from __future__ import annotations

import click

from scripts.cli.installation.update import find_installation, hangup_as_interrupt, passes_verification, print_result
from scripts.cli.output import json_option, print_note
from scripts.stack import update as updates
from scripts.stack.alone import host_lock


@click.command()
@click.argument("version", required=False)
@json_option
def rollback(*, version: str | None, as_json: bool) -> None:
    """Go back to VERSION; without one, to what ran before the last update.

    Data stay as they are. Refused when a change of the schema since then cannot be lived with; it says which.
    """
    there = find_installation()
    with host_lock(there.home, "rollback"), hangup_as_interrupt():
        done = updates.rollback(there, version, passes_verification, print_note)
    print_result(done, as_json=as_json)
