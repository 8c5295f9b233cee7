"""launchdb db inventory: what there is outside of projects' things, against what there should be."""

from __future__ import annotations

from dataclasses import asdict

import click

from catalog import inventory as things
from scripts.cli.context import Session, pass_session
from scripts.cli.errors import DONE, FAILURE
from scripts.cli.output import emit, emit_json, json_option, note, table
from scripts.cli.target import open_home


@click.command()
@click.option("--project", metavar="ID", help="Only what bears this project's id.")
@json_option
@pass_session
def inventory(session: Session, *, project: str | None, as_json: bool) -> int:
    """List databases, roles, data APIs and secrets of projects; exit 1 when one is an orphan or missing (home)."""
    infra = open_home(session.settings)
    try:
        with infra.database.transaction() as tx:
            found = [thing for thing in things.take(tx, infra) if project in (None, thing.project_id)]
    finally:
        infra.close()
    wrong = [thing for thing in found if thing.verdict != "owned"]
    if as_json:
        emit_json({"things": [asdict(thing) for thing in found]})
    else:
        emit(table(("kind", "name", "project", "verdict"), ([*asdict(thing).values()] for thing in found)))
        if wrong:
            note(f"{len(wrong)} of {len(found)} are not as they should be; the sweep puts them right")
    return FAILURE if wrong else DONE
