"""launchdb projects: create, list, show, connect to, change and delete projects; what their life needs is beside it."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import USAGE, CliError
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import confirm, wait_options
from scripts.cli.output import format_pairs, format_table, json_option, print_json, print_lines
from scripts.cli.projects.extensions import extensions
from scripts.cli.projects.keys import keys, signing
from scripts.cli.projects.life import pause, restart, resume, vacuum
from scripts.cli.projects.mail_preview import mail_preview
from scripts.cli.projects.rotate import rotate
from scripts.cli.projects.settings import settings, stats
from scripts.cli.projects.sql import psql, sql
from scripts.cli.projects.undelete import undelete

pool_option = click.option("--pool-size", type=int, metavar="N", help="Connections of the project's data API.")


@click.group()
def projects() -> None:
    """Create, list, show, connect to, set up, change, pause, resume, restart, vacuum, rotate and delete projects."""


@projects.command()
@click.argument("name")
@pool_option
@wait_options
@json_option
@pass_session
def create(
    session: CliSession, name: str, *, pool_size: int | None, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Create a project called NAME and wait until it answers."""
    body = {"name": name} if pool_size is None else {"name": name, "poolSize": pool_size}
    answer = session.client.post("/api/projects", body)
    project_id = answer["project"]["id"]
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    if not no_wait:
        answer["project"] = session.client.get(f"/api/projects/{project_id}")
    print_outcome(answer, lambda: _lines(answer["project"]), as_json=as_json, waited=not no_wait)


@projects.command("list")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many (default: all).")
@json_option
@pass_session
def list_projects(session: CliSession, *, limit: int | None, as_json: bool) -> None:
    """List your projects."""
    found = list(session.client.pages("/api/projects", "projects", limit=limit))
    if as_json:
        print_json({"projects": found})
        return
    columns = ("id", "name", "status", "createdAt")
    print_lines(
        format_table(("id", "name", "status", "created"), ([project[name] for name in columns] for project in found))
    )


@projects.command()
@click.argument("project", required=False)
@json_option
@pass_session
def show(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """Show PROJECT, given by id or name."""
    found = session.project(project)
    if as_json:
        print_json(found)
        return
    print_lines(_lines(found))


@projects.command()
@click.argument("project", required=False)
@json_option
@pass_session
def connection(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """Print the URLs and keys of PROJECT. They are secret; the request is audited."""
    found = session.client.get(f"/api/projects/{session.project(project)['id']}/connection")
    if as_json:
        print_json(found)
        return
    print_lines(format_pairs({name: value for name, value in found.items() if value is not None}))


@projects.command()
@click.argument("project", required=False)
@click.option("--name", help="The new name.")
@pool_option
@wait_options
@json_option
@pass_session
def update(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    project: str | None,
    *,
    name: str | None,
    pool_size: int | None,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Rename PROJECT, or change its pool."""
    changes = {key: value for key, value in (("name", name), ("poolSize", pool_size)) if value is not None}
    if not changes:
        raise CliError("nothing to change; give --name or --pool-size", USAGE)
    project_id = session.project(project)["id"]
    answer = session.client.patch(f"/api/projects/{project_id}", changes)
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(
        answer,
        lambda: _lines(session.client.get(f"/api/projects/{project_id}")),
        as_json=as_json,
        waited=not no_wait,
    )


for command in (
    pause,
    resume,
    restart,
    vacuum,
    rotate,
    keys,
    signing,
    settings,
    mail_preview,
    stats,
    sql,
    psql,
    extensions,
    undelete,
):
    projects.add_command(command)


@projects.command()
@click.argument("project", required=False)
@click.option("--yes", is_flag=True, help="Do not ask for the name.")
@click.option("--purge", is_flag=True, help="Keep no backup: it can never be brought back.")
@wait_options
@json_option
@pass_session
def delete(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    project: str | None,
    *,
    yes: bool,
    purge: bool,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Delete PROJECT with everything in it: its database, roles, secrets and files. `undelete` brings it back."""
    found = session.project(project)
    confirm(found["name"], f"the project {found['name']} ({found['id']}) and all its data", yes=yes)
    answer = session.client.delete(f"/api/projects/{found['id']}", purge="true" if purge else "false")
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    done = f"{found['id']} {'is being deleted' if no_wait else 'deleted'}"
    print_outcome(answer, lambda: [done], as_json=as_json, waited=not no_wait)


_SHOWN = ("id", "name", "status", "statusReason", "drift", "poolSize", "createdAt")


def _lines(project: dict[str, Any]) -> list[str]:
    plain = {name: project.get(name) for name in _SHOWN}
    endpoints = project.get("endpoints") or {}
    return format_pairs({name: value for name, value in {**plain, **endpoints}.items() if value})
