"""launchdb backups restore-platform, adopt: when the platform's own database is lost. Acts of who may read the home."""

from __future__ import annotations

import click

from jobs import kinds as _kinds  # noqa: F401 - registers what is enqueued
from jobs.requests import platform_restore
from scripts.cli.context import CliSession, pass_session
from scripts.cli.options import confirm
from scripts.cli.output import json_option, print_json, print_lines, print_note
from scripts.cli.target import open_home


@click.command("restore-platform")
@click.argument("stem", required=False, metavar="[SET]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def restore_platform(session: CliSession, stem: str | None, *, yes: bool, as_json: bool) -> None:
    """Replace the platform's database by what SET holds (the newest one, if none is named); run `adopt` next."""
    infra = open_home(session.settings)
    try:
        chosen = stem or platform_restore.newest(infra)
        confirm("platform", f"what the platform knows since {chosen}", yes=yes)
        kept = platform_restore.restore_platform(infra, chosen, print_note)
    finally:
        infra.close()
    if as_json:
        print_json({"set": chosen, "kept": kept})
        return
    print_lines([f"the platform is what it was in {chosen}; what it was before is kept as the database {kept}"])


@click.command()
@json_option
@pass_session
def adopt(session: CliSession, *, as_json: bool) -> None:
    """List backups and carry over projects that the platform does not know; restore those whose database is gone."""
    infra = open_home(session.settings)
    try:
        done = platform_restore.adopt_unknown(infra, print_note)
    finally:
        infra.close()
    if as_json:
        print_json(done)
        return
    print_lines(
        [f"{done['backups']} backups listed; {len(done['restored'])} projects are being restored, by these jobs:"]
    )
    print_lines([f"{project} was carried over from the platform of before" for project in done["carried"]])
    print_lines([f"{project} {job}" for project, job in done["restored"].items()])
    print_lines([f"{project} has no backup: it is lost" for project in done["lost"]])
