"""launchdb rollback: an earlier version, where the schema allows it."""

from __future__ import annotations

import click

from scripts.cli.output import json_option, note
from scripts.cli.update import installed, probe, told
from scripts.stack import update as updates


@click.command()
@click.argument("version", required=False)
@json_option
def rollback(*, version: str | None, as_json: bool) -> None:
    """Go back to VERSION; without one, to what ran before the last update.

    Data stay as they are. Refused when a change of the schema since then cannot be lived with; it says which.
    """
    told(updates.rollback(installed(), version, probe, note), as_json=as_json)
