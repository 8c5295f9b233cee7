"""launchdb backups export, import: a project moves to another host in one file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from secrets import token_hex
from typing import Any

import click

from infra import files
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.jobs.progress import print_outcome, remarks, wait_for_job
from scripts.cli.options import partial_option, wait_options
from scripts.cli.output import json_option, print_json, print_lines, print_note


@click.command("export")
@click.argument("project", required=False)
@click.option("--to", "target", type=click.Path(path_type=Path), help="Folder or file (default: this folder).")
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from standard input; else one is made.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer (exit 124).")
@json_option
@pass_session
def export_project(
    session: CliSession,
    project: str | None,
    *,
    target: Path | None,
    passphrase_stdin: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Write PROJECT into one encrypted file that another host takes, and print its passphrase, this one time."""
    path = f"/api/projects/{session.project(project)['id']}/exports"
    body = {"passphrase": sys.stdin.readline().rstrip("\n")} if passphrase_stdin else {}
    asked = session.client.post(path, body)
    passphrase = asked.pop("passphrase")
    answer = wait_for_job(session.client, asked, wait=True, timeout=timeout)
    job = answer["job"]
    if job["status"] != "succeeded":
        print_outcome(answer, list, as_json=as_json, waited=True)
        return
    place = target or Path()
    place = place / job["result"]["file"] if place.is_dir() else place
    session.client.fetch(f"{path}/{job['id']}/file", place)
    if as_json:
        print_json({"file": str(place), "passphrase": passphrase, "job": job})
        return
    print_note("keep the passphrase now: it is not shown again, and without it nobody opens the file")
    print_lines([str(place), passphrase])


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--keys", type=click.Choice(["keep", "new"]), default="keep", help="The same project, or another one.")
@click.option("--name", help="Another name than it has there.")
@click.option("--owner", metavar="EMAIL", help="Whose it will be (default: yours).")
@partial_option
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from standard input instead of asking.")
@wait_options
@json_option
@pass_session
def import_project(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    file: Path,
    *,
    keys: str,
    name: str | None,
    owner: str | None,
    partial: bool,
    passphrase_stdin: bool,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Make a project of an export, on the server itself: the same one with its keys, or another one."""
    if not file.is_file():
        raise CliError(f"there is no file {file}", NOT_FOUND)
    passphrase = sys.stdin.readline().rstrip("\n") if passphrase_stdin else _ask()
    body: dict[str, Any] = {"passphrase": passphrase, "keys": keys, **({"partial": True} if partial else {})}
    if name is not None:
        body["name"] = name
    if owner is not None:
        body["ownerId"] = _owner(session, owner)
    copy = files.ensure_folder(session.settings.imports_folder) / f"import-{token_hex(8)}.export.gpg"
    try:
        with files.translate_os_errors(copy):
            shutil.copyfile(file, copy)
            copy.chmod(0o600)
        answer = session.client.post("/api/projects/import", {**body, "file": copy.name})
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    project = answer["project"]["id"]
    told = f"{project} {'asked for' if no_wait else 'imported'}"
    print_outcome(answer, lambda: [told, *remarks(answer["job"])], as_json=as_json, waited=not no_wait)


def _owner(session: CliSession, email: str) -> str:
    wanted = email.strip().lower()
    for owner in session.client.pages("/api/admin/owners", "owners"):
        if owner["email"] == wanted:
            return str(owner["id"])
    raise CliError(f"there is no owner {email}", NOT_FOUND)


def _ask() -> str:
    passphrase: str = click.prompt("Passphrase of the export", hide_input=True, err=True)
    return passphrase
