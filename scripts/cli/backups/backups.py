"""launchdb backups: make, list, prove, restore and fetch backups, and how far back each project could be brought."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from catalog.ids import is_project_id
from scripts.cli.backups.offsite import offsite, pull, remote
from scripts.cli.backups.platform import adopt, restore_platform
from scripts.cli.backups.transfer import export_project, import_project
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, USAGE, CliError
from scripts.cli.jobs.progress import print_outcome, remarks, wait_for_job
from scripts.cli.options import confirm, partial_option, wait_options
from scripts.cli.output import format_table, json_option, print_json, print_lines

PREFIX = "bkp_"
words_argument = click.argument("words", nargs=-1, metavar="[PROJECT] [BACKUP]")


@click.group()
def backups() -> None:
    """Make, list, prove, restore and fetch backups."""


for command in (restore_platform, adopt, offsite, pull, export_project, import_project):
    backups.add_command(command)


@backups.command()
@click.argument("project", required=False)
@click.option("--all", "everything", is_flag=True, help="The platform and every project (operators only).")
@wait_options
@json_option
@pass_session
def create(
    session: CliSession,
    project: str | None,
    *,
    everything: bool,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Back up PROJECT, or with --all everything."""
    if everything and project:
        raise CliError("name a project or give --all", USAGE)
    path = "/api/admin/backups" if everything else f"/api/projects/{session.project(project)['id']}/backups"
    answer = wait_for_job(session.client, session.client.post(path), wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: [_told(answer["job"]), *remarks(answer["job"])], as_json=as_json, waited=not no_wait)


@backups.command("list")
@click.argument("project", required=False)
@click.option("--limit", type=click.IntRange(min=1), help="At most this many (default: all).")
@click.option("--remote", "elsewhere", is_flag=True, help="Those that lie at RSYNC_DEST (on the server itself).")
@json_option
@pass_session
def list_backups(
    session: CliSession, project: str | None, *, limit: int | None, elsewhere: bool, as_json: bool
) -> None:
    """List the backups of PROJECT, newest first."""
    if elsewhere:
        _list_remote(session, project, limit, as_json=as_json)
        return
    path = f"/api/projects/{session.project(project)['id']}/backups"
    found = list(session.client.pages(path, "backups", limit=limit))
    if as_json:
        print_json({"backups": found})
        return
    rows = (
        (row["id"], row["file"], _size(row["bytes"]), _files(row), _moment(row["createdAt"]), _proof(row))
        for row in found
    )
    print_lines(format_table(("id", "file", "size", "files", "made", "verified"), rows))


@backups.command()
@words_argument
@wait_options
@json_option
@pass_session
def verify(session: CliSession, words: tuple[str, ...], *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Prove BACKUP (the newest one, if none is named) by restoring it into a database of its own."""
    path, backup = _meant(session, words)
    answer = session.client.post(f"{path}/{backup['id']}/verify")
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: [_told(answer["job"]), *remarks(answer["job"])], as_json=as_json, waited=not no_wait)


@backups.command()
@words_argument
@click.option("--as", "name", metavar="NAME", help="Make a new project of that name of it; PROJECT stays as it is.")
@partial_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options
@json_option
@pass_session
def restore(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    words: tuple[str, ...],
    *,
    name: str | None,
    partial: bool,
    yes: bool,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Take PROJECT back to BACKUP (the newest one, if none is named); `backups undo` goes back once more."""
    path, backup = _meant(session, words)
    if name is None:
        known = session.project(backup["projectId"])["name"]
        confirm(known, f"what was written to {known} since {_moment(backup['createdAt'])}", yes=yes)
    body: dict[str, Any] = {"into": "same"} if name is None else {"into": "new", "name": name}
    body |= {"partial": True} if partial else {}
    answer = session.client.post(f"{path}/{backup['id']}/restore", body)
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    project = answer["project"]["id"]
    told = f"{project} {'asked for' if no_wait else 'restored'}"
    print_outcome(answer, lambda: [told, *remarks(answer["job"])], as_json=as_json, waited=not no_wait)


@backups.command()
@click.argument("project", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options
@json_option
@pass_session
def undo(
    session: CliSession, project: str | None, *, yes: bool, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Take PROJECT back to what it was before its last restore."""
    found = session.project(project)
    confirm(found["name"], f"what was written to {found['name']} since it was restored", yes=yes)
    _after_restore(session, found["id"], "undo-restore", no_wait=no_wait, timeout=timeout, as_json=as_json)


@backups.command()
@click.argument("project", required=False)
@wait_options
@json_option
@pass_session
def keep(session: CliSession, project: str | None, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Confirm the restore of PROJECT: what was there before is dropped now."""
    found = session.project(project)
    _after_restore(session, found["id"], "keep-restore", no_wait=no_wait, timeout=timeout, as_json=as_json)


@backups.command()
@words_argument
@click.option("--to", "target", type=click.Path(path_type=Path), help="Folder or file (default: this folder).")
@json_option
@pass_session
def download(session: CliSession, words: tuple[str, ...], *, target: Path | None, as_json: bool) -> None:
    """Fetch the file of BACKUP (the newest one, if none is named), encrypted as it is."""
    path, backup = _meant(session, words)
    place = target or Path()
    place = place / backup["file"] if place.is_dir() else place
    session.client.fetch(f"{path}/{backup['id']}/file", place)
    print_json({"file": str(place), "backup": backup}) if as_json else print_lines([str(place)])


@backups.command()
@words_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options
@json_option
@pass_session
def delete(
    session: CliSession, words: tuple[str, ...], *, yes: bool, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Delete BACKUP."""
    if not words or not words[-1].startswith(PREFIX):
        raise CliError("name the backup by its id", USAGE)
    path, backup = _meant(session, words)
    confirm(backup["id"], f"the backup {backup['file']}", yes=yes)
    answer = session.client.delete(f"{path}/{backup['id']}")
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: [f"{backup['id']} deleted"], as_json=as_json, waited=not no_wait)


@backups.command()
@json_option
@pass_session
def report(session: CliSession, *, as_json: bool) -> None:
    """Show for each project how old its newest backup is, and when one was proven (operators only)."""
    found = session.client.get("/api/admin/backups")
    if as_json:
        print_json(found)
        return
    rows = (
        (
            row["projectId"] or "platform",
            row["name"],
            str(row["backups"]),
            _moment(row["backupAt"]) or "never",
            _moment(row["verifiedAt"]) or row["verifyError"] or "never",
            _moment(row["offsiteBackupAt"]) or "never",
            "" if row["rpoSeconds"] is None else f"{row['rpoSeconds'] / 3600:.1f} h",
            "" if row["rtoSeconds"] is None else f"{row['rtoSeconds']:.1f} s",
        )
        for row in found["report"]
    )
    print_lines(format_table(("project", "name", "backups", "newest", "verified", "elsewhere", "rpo", "rto"), rows))


def _list_remote(session: CliSession, project: str | None, limit: int | None, *, as_json: bool) -> None:
    found = remote(session)[::-1]
    if project is not None:
        # Of a project that is not known here, too: that is what one looks for when everything is lost.
        scope = project if is_project_id(project) or project == "platform" else session.project(project)["id"]
        found = [row for row in found if str(row["set"]).startswith(f"{scope}_")]
    found = found[:limit]
    if as_json:
        print_json({"backups": found})
        return
    rows = ((str(row["set"]), _size(int(str(row["bytes"]))), "yes" if row["alsoHere"] else "no") for row in found)
    print_lines(format_table(("set", "size", "also here"), rows))


def _meant(session: CliSession, words: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the path of a project's backups, and the one that is meant. Raises CliError."""
    named = [word for word in words if word.startswith(PREFIX)]
    projects = [word for word in words if not word.startswith(PREFIX)]
    if len(named) > 1 or len(projects) > 1:
        raise CliError("give PROJECT and BACKUP", USAGE)
    project = session.project(projects[0] if projects else None)
    path = f"/api/projects/{project['id']}/backups"
    if named:
        return path, session.client.get(f"{path}/{named[0]}")
    newest = next(session.client.pages(path, "backups", limit=1), None)
    if newest is None:
        raise CliError(f"{project['name']} has no backup", NOT_FOUND)
    return path, newest


def _after_restore(
    session: CliSession, project_id: str, verb: str, *, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    answer = session.client.post(f"/api/projects/{project_id}/{verb}")
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: [f"{project_id}: done"], as_json=as_json, waited=not no_wait)


def _told(job: dict[str, Any]) -> str:
    result = job.get("result") or {}
    if "file" in result:
        return f"{result['backupId']} {result['file']} ({_size(result['bytes'])}){_held(result)}"
    if "backedUp" in result:
        return f"{result['backedUp']} backed up"
    if "restoreMs" in result:
        files = f", {result['files']} files read" if result.get("files") else ""
        return (
            f"{result['backupId']} is good: {result['rows']} rows restored in {result['restoreMs'] / 1000:.1f} s{files}"
        )
    return f"{job['kind']} {job['status']}"


def _held(result: dict[str, Any]) -> str:
    """Return what is told of a backup's files: all of them, and what had to be copied."""
    if not result.get("files"):
        return ""
    return f", {result['files']} files ({_size(result['fileBytes'])}; {_size(result['addedBytes'])} of copies new)"


def _files(row: dict[str, Any]) -> str:
    return "" if row["files"] is None else f"{row['files']} ({_size(row['fileBytes'])})"


def _proof(row: dict[str, Any]) -> str:
    return _moment(row["verifiedAt"]) or row["verifyError"] or "no"


def _moment(text: str | None) -> str:
    return (text or "")[:16].replace("T", " ")


def _size(count: int | None) -> str:
    size, unit = float(count or 0), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
