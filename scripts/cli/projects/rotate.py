"""launchdb projects rotate: a new database password or new API keys, for one project or for all."""

from __future__ import annotations

from typing import Any

import click

from jobs.projects.project_secrets import DATABASE_PASSWORD, ROTATED
from scripts.cli.context import CliSession, pass_session
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import json_option
from scripts.cli.target import open_home

LONGEST_GRACE = 30 * 24 * 3600


@click.command()
@click.argument("project", required=False)
@click.option("--secret", type=click.Choice(ROTATED), required=True, help="What is changed.")
@click.option(
    "--grace", type=click.IntRange(0, LONGEST_GRACE), metavar="SECONDS", help="How long old keys stay good (a day)."
)
@click.option("--all", "everyone", is_flag=True, help="Of every project (on the server itself).")
@click.option("--budget", type=click.IntRange(min=0), default=0, help="How many projects may fail, with --all.")
@wait_options
@json_option
@pass_session
def rotate(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    project: str | None,
    *,
    secret: str,
    grace: int | None,
    everyone: bool,
    budget: int,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Rotate a secret of PROJECT: its passwords, or its JWT secret with the API keys."""
    if secret == DATABASE_PASSWORD and grace is not None:
        raise click.UsageError("a password has no grace time")
    if everyone and project:
        raise click.UsageError("say either PROJECT or --all")
    if everyone:
        answer = _of_all(session, secret, grace, budget)
    else:
        project_id = session.project(project)["id"]
        body = {"secret": secret} if grace is None else {"secret": secret, "graceSeconds": grace}
        answer = session.client.post(f"/api/projects/{project_id}/rotate", body)
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: _told(answer["job"], waited=not no_wait), as_json=as_json, waited=not no_wait)


def _of_all(session: CliSession, secret: str, grace: int | None, budget: int) -> dict[str, Any]:
    # Every kind of job is loaded with one of them; who rotates one project need not wait for that.
    from jobs.engine.enqueue import enqueue  # noqa: PLC0415
    from jobs.engine.view import job_json  # noqa: PLC0415
    from jobs.kinds.platform.rotate_fleet import RotateFleet  # noqa: PLC0415
    from jobs.kinds.project.rotate_secret import GRACE_SECONDS  # noqa: PLC0415

    seconds = GRACE_SECONDS if grace is None else grace
    fleet = RotateFleet(secret, 0 if secret == DATABASE_PASSWORD else seconds, budget)
    infra = open_home(session.settings)
    try:
        with infra.database.transaction() as tx:
            return {"job": job_json(tx, enqueue(tx, fleet, by="operator"))}
    finally:
        infra.close()


def _told(job: dict[str, Any], *, waited: bool) -> list[str]:
    if not waited:
        return [f"{job['kind']} accepted"]
    result = job.get("result") or {}
    if "rotated" in result:
        return [f"rotated in {result['rotated']} projects"]
    until = result.get("oldGoodUntil")
    lines = [f"{result['projectId']}: {result['secret']} rotated; see `launchdb projects connection`"]
    return [*lines, f"the old keys are good until {until}"] if until else lines
