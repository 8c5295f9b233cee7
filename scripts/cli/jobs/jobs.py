"""launchdb jobs: see what runs, why something waits, and do it again or stop it."""

from __future__ import annotations

from typing import Any

import click

from catalog.ids import is_id
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.jobs.progress import follow_job, print_outcome, require_success, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import format_pairs, format_table, json_option, print_json, print_lines

STATUSES = ("queued", "running", "retrying", "cancelling", "succeeded", "failed", "cancelled")


class JobId(click.ParamType[str]):
    """A job's id, checked as the API checks it."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id; whatever has not its form names no job."""
        del param, ctx
        if not is_id("job", str(value)):
            raise CliError(f"there is no job {value}", NOT_FOUND)
        return str(value)


job_argument = click.argument("job", type=JobId())


@click.group()
def jobs() -> None:
    """See what runs, why something waits, and do it again or stop it."""


@jobs.command("list")
@click.option("--project", help="Only those of this project (id or name).")
@click.option("--status", type=click.Choice(STATUSES), help="Only those in this state.")
@click.option("--kind", help="Only those of this kind, as project.provision.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
@click.option("--all", "everybodys", is_flag=True, help="Those of all owners (operators only).")
@json_option
@pass_session
def list_jobs(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    *,
    project: str | None,
    status: str | None,
    kind: str | None,
    limit: int,
    everybodys: bool,
    as_json: bool,
) -> None:
    """List jobs, newest first."""
    path = "/api/admin/jobs" if everybodys else "/api/jobs"
    wanted = {"projectId": session.project(project)["id"] if project else None, "status": status, "kind": kind}
    found = list(session.client.pages(path, "jobs", limit=limit, **wanted))
    if as_json:
        print_json({"jobs": found})
        return
    print_lines(format_table(("id", "kind", "status", "project", "done", "created"), map(_row, found)))


@jobs.command()
@job_argument
@json_option
@pass_session
def show(session: CliSession, job: str, *, as_json: bool) -> None:
    """Show JOB and its steps."""
    found = session.client.get(f"/api/jobs/{job}")
    if as_json:
        print_json(found)
        return
    head = {name: found[name] for name in ("id", "kind", "status", "projectId", "createdBy", "createdAt", "finishedAt")}
    if found["estimatedFinishAt"]:
        head["estimatedFinishAt"] = found["estimatedFinishAt"]
    attempts = {"attempt": f"{found['attempt']} of {found['maxAttempts']}"}
    steps = (
        [step["title"], step["status"], step["attempt"], step["durationMs"], step["message"]] for step in found["steps"]
    )
    print_lines(
        [
            *format_pairs({**head, **attempts, "why": _why(found)}),
            "",
            *format_table(("step", "status", "attempt", "ms", "message"), steps),
        ]
    )


@jobs.command()
@job_argument
@wait_options
@json_option
@pass_session
def watch(session: CliSession, job: str, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Follow JOB to its end; exit 3 when it fails."""
    found = session.client.get(f"/api/jobs/{job}")
    if not no_wait:
        found = follow_job(session.client, found, timeout=timeout)
    if as_json:
        print_json(found)
    else:
        print_lines([f"{found['id']} {found['status']}"])
    if not no_wait:
        require_success(found)


@jobs.command()
@job_argument
@json_option
@pass_session
def why(session: CliSession, job: str, *, as_json: bool) -> None:
    """Explain in a sentence why JOB waits, where it is, or what it failed of."""
    found = session.client.get(f"/api/jobs/{job}")
    if as_json:
        print_json({name: found[name] for name in ("id", "kind", "status", "waitingFor", "progress", "error")})
        return
    print_lines([_why(found)])


@jobs.command()
@job_argument
@wait_options
@json_option
@pass_session
def retry(session: CliSession, job: str, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Allow a failed or cancelled JOB to go on from its first unfinished step."""
    answer = session.client.post(f"/api/jobs/{job}/retry")
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: _told(answer), as_json=as_json, waited=not no_wait)


@jobs.command()
@job_argument
@wait_options
@json_option
@pass_session
def cancel(session: CliSession, job: str, *, no_wait: bool, timeout: float | None, as_json: bool) -> None:
    """Stop JOB at its next safe point; it undoes what its kind undoes."""
    answer = session.client.post(f"/api/jobs/{job}/cancel")
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    stopped = answer["job"]["status"] == "cancelled"
    print_outcome(answer, lambda: _told(answer), as_json=as_json, waited=not no_wait and not stopped)


def _told(answer: dict[str, Any]) -> list[str]:
    return [f"{answer['job']['id']} {answer['job']['status']}"]


def _row(job: dict[str, Any]) -> list[Any]:
    percent = f"{job['progress']['percent']:.0f} %"
    return [job["id"], job["kind"], job["status"], job["projectId"], percent, job["createdAt"]]


def _why(job: dict[str, Any]) -> str:
    status, error = job["status"], job.get("error") or {}
    waiting = job.get("waitingFor")
    if waiting:
        due = f", until {waiting['at']}" if waiting.get("at") else ""
        last = f"; its last attempt failed: {error['detail']}" if error.get("detail") else ""
        return f"{status}: {waiting['message']}{due}{last}"
    if status in ("running", "cancelling"):
        step = job["progress"]["step"]
        titles = {known["name"]: known["title"] for known in job["steps"]}
        return f"{status}: at the step {titles.get(step, step)}, attempt {job['attempt']} of {job['maxAttempts']}"
    if error.get("detail"):
        at = f" at the step {error['step']}" if error.get("step") else ""
        return f"{status}{at}: {error['detail']}; go on with: launchdb jobs retry {job['id']}"
    return {"queued": "queued: a worker will take it now"}.get(str(status), str(status))
