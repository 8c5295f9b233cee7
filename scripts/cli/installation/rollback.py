"""launchdb rollback: an earlier version, where the schema allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scripts.cli.installation.update import (
    become,
    by_shell,
    chosen,
    code_of,
    find_installation,
    hangup_as_interrupt,
    passes_verification,
    print_result,
)
from scripts.cli.output import json_option, print_note
from scripts.stack import update as updates
from scripts.stack.host_lock import host_lock

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
    there = find_installation()
    with host_lock(there.home, "rollback"), hangup_as_interrupt():
        target = updates.prepare_rollback(there, version, code_of(folder), print_note)
        if folder is not None:
            # An earlier version may know less of this home than the one that runs.
            become(there.settings.version, "rollback", target, *chosen("--json", as_json))
            return
        done = updates.rollback(there, target, passes_verification, print_note)
    print_result(done, as_json=as_json)
