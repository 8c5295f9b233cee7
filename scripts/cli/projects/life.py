"""launchdb projects pause, resume, restart, vacuum: one question to the API each, and its job to wait for."""

from __future__ import annotations

from typing import Any

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import json_option


@click.command()
@click.argument("project", required=False)
@wait_options
@json_option
@pass_session
def pause(session: CliSession, project: str | None, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Pause PROJECT: nobody reaches it, and it keeps its data."""
    _ask(session, project, "pause", "paused", no_wait=no_wait, timeout=timeout, as_json=as_json)


@click.command()
@click.argument("project", required=False)
@wait_options
@json_option
@pass_session
def resume(session: CliSession, project: str | None, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Resume PROJECT, with the same keys."""
    _ask(session, project, "resume", "resumed", no_wait=no_wait, timeout=timeout, as_json=as_json)


@click.command()
@click.argument("project", required=False)
@wait_options
@json_option
@pass_session
def restart(session: CliSession, project: str | None, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Restart PROJECT: every session is ended, and it is opened anew."""
    _ask(session, project, "restart", "restarted", no_wait=no_wait, timeout=timeout, as_json=as_json)


@click.command()
@click.argument("project", required=False)
@wait_options
@json_option
@pass_session
def vacuum(session: CliSession, project: str | None, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Vacuum and analyse the tables of PROJECT that have changed."""
    _ask(session, project, "vacuum", "vacuumed", no_wait=no_wait, timeout=timeout, as_json=as_json)


def _ask(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    project: str | None,
    verb: str,
    done: str,
    *,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    project_id = session.project(project)["id"]
    answer = session.client.post(f"/api/projects/{project_id}/{verb}")
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    if not no_wait:
        answer["project"] = session.client.get(f"/api/projects/{project_id}")
    told = f"{project_id}: {verb} accepted" if no_wait else _told(project_id, done, answer["job"])
    print_outcome(answer, lambda: [told], as_json=as_json, waited=not no_wait)


def _told(project_id: str, done: str, job: dict[str, Any]) -> str:
    skipped = (job.get("result") or {}).get("skipped")
    return f"{project_id}: {skipped}" if skipped else f"{project_id} {done}"
