"""launchdb projects undelete: a deleted project comes back, with the keys that its clients have."""

from __future__ import annotations

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import CONFLICT, NOT_FOUND, CliError
from scripts.cli.jobs.progress import print_outcome, remarks, wait_for_job
from scripts.cli.options import partial_option, wait_options
from scripts.cli.output import format_table, json_option, print_json, print_lines


@click.command()
@click.argument("project", required=False)
@click.option("--name", help="Another name, when the old one was given away.")
@partial_option
@wait_options
@json_option
@pass_session
def undelete(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    project: str | None,
    *,
    name: str | None,
    partial: bool,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Bring the deleted PROJECT back; without PROJECT, list those that can be."""
    known = session.client.get("/api/projects/deleted")
    if project is None:
        rows = ((row["projectId"], row["projectName"], row["createdAt"], row["expiresAt"]) for row in known["backups"])
        print_json(known) if as_json else print_lines(format_table(("project", "name", "backed up", "until"), rows))
        return
    found = [row for row in known["backups"] if project in (row["projectId"], row["projectName"])]
    if len(found) != 1:
        word = "several deleted projects have that name; give the id" if found else f"no deleted project {project}"
        raise CliError(word, CONFLICT if found else NOT_FOUND)
    body = {"backupId": found[0]["id"], **({} if name is None else {"name": name})}
    body |= {"partial": True} if partial else {}
    answer = session.client.post("/api/projects/restore", body)
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    project_id = answer["project"]["id"]
    told = f"{project_id} {'is being restored' if no_wait else 'is back'}"
    print_outcome(answer, lambda: [told, *remarks(answer["job"])], as_json=as_json, waited=not no_wait)
