"""launchdb db inventory, schema: what there is of projects' things, and which schema the platform has."""

from __future__ import annotations

from dataclasses import asdict

import click

from catalog import inventory as things
from infra.postgres import migrations
from infra.postgres.sql import statements
from jobs.engine.view import rfc3339
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import DONE, FAILURE
from scripts.cli.output import format_table, json_option, print_json, print_lines, print_note
from scripts.cli.target import open_home

SQL = statements(__file__)


@click.command()
@json_option
@pass_session
def schema(session: CliSession, *, as_json: bool) -> None:
    """List the schema migrations of the platform's database; of each whether an earlier version can live with it."""
    infra = open_home(session.settings)
    try:
        with infra.database.autocommit() as tx:
            applied = tx.rows(SQL.applied)
    finally:
        infra.close()
    known = {one.version: one for one in migrations.read_migrations("platform")}
    replaced = {version for one in known.values() for version in one.replaces}  # one line says it for all of them
    # One that this program does not know was applied by a later version: what it did is not known here.
    found = [{**row, "reversible": row["version"] in known and known[row["version"]].reversible}
             for row in applied if row["version"] not in replaced]  # fmt: skip
    shown = [{**row, "applied_at": rfc3339(row["applied_at"])} for row in found]
    if as_json:
        print_json({"migrations": [{"version": row["version"], "appliedAt": row["applied_at"],
                                   "reversible": row["reversible"]} for row in shown]})  # fmt: skip
        return
    print_lines(format_table(("version", "applied", "reversible"), ([*row.values()] for row in shown)))


@click.command()
@click.option("--project", metavar="ID", help="Only what bears this project's id.")
@json_option
@pass_session
def inventory(session: CliSession, *, project: str | None, as_json: bool) -> int:
    """List databases, roles, data APIs and secrets of projects; exit 1 when one is an orphan or missing (home)."""
    infra = open_home(session.settings)
    try:
        with infra.database.transaction() as tx:
            found = [thing for thing in things.take_inventory(tx, infra) if project in (None, thing.project_id)]
    finally:
        infra.close()
    wrong = [thing for thing in found if thing.verdict != "owned"]
    if as_json:
        print_json({"things": [asdict(thing) for thing in found]})
    else:
        print_lines(
            format_table(("kind", "name", "project", "verdict"), ([*asdict(thing).values()] for thing in found))
        )
        if wrong:
            print_note(f"{len(wrong)} of {len(found)} are not as they should be; the sweep puts them right")
    return FAILURE if wrong else DONE
