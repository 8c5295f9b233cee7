"""What an owner asks of a project's life: each is a job, or a conflict that names the state and the job in the way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.http import waiting
from app.http.answers import ProjectAcceptedOut
from app.http.models import EmptyBody
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.models_life import SecretRotationRequest, UsersImport
from app.platform.projects.projects import project_out
from catalog import projects
from jobs.engine.view import job_json
from jobs.kinds.project.rotate_secret import GRACE_SECONDS
from jobs.projects.project_secrets import DATABASE_PASSWORD
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.postgres.database import Transaction
    from jobs.engine.table import Job

routes = Routes("lifecycle")


def finished_response(call: Call, tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of a job that the client waited for."""
    project = projects.find_owned(tx, str(answer.project_id), call.owner_id)
    body = {"project": project_out(call, project), "job": (answer.body or {})["job"]}
    return ViewResponse(body, 200, answer.headers, answer.job_id, project.id)


@routes.change(
    "POST", "/api/projects/<project_id>/pause", action="project.pause", who="owner",
    body=EmptyBody, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def pause(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Pauses a project: nobody reaches it, and it keeps its data."""
    return request_job(call, tx, project_id, lifecycle.pause)


@routes.change(
    "POST", "/api/projects/<project_id>/resume", action="project.resume", who="owner",
    body=EmptyBody, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def resume(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Resumes a paused project, with the same keys."""
    return request_job(call, tx, project_id, lifecycle.resume)


@routes.change(
    "POST", "/api/projects/<project_id>/restart", action="project.restart", who="owner",
    body=EmptyBody, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def restart(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Restarts a project: every session is ended, and it is opened anew."""
    return request_job(call, tx, project_id, lifecycle.restart)


@routes.change(
    "POST", "/api/projects/<project_id>/vacuum", action="project.vacuum", who="owner",
    body=EmptyBody, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def vacuum(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Vacuums and analyses the tables of a project that have changed."""
    return request_job(call, tx, project_id, lifecycle.vacuum)


@routes.change(
    "POST", "/api/projects/<project_id>/users/import", action="project.import_users", who="operator",
    body=UsersImport, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def import_users(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Loads users out of a dump of another project's schema auth that lies in the imports folder."""
    return request_job(call, tx, project_id, lifecycle.import_users, file=call.body.file)


@routes.change(
    "POST", "/api/projects/<project_id>/rotate", action="project.rotate", who="owner",
    body=SecretRotationRequest, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def rotate(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Rotates a secret of a project: no request fails, and old API keys are good until their grace time is over."""
    grace = 0 if call.body.secret == DATABASE_PASSWORD else call.body.grace_seconds
    grace = GRACE_SECONDS if grace is None else grace
    answer = request_job(call, tx, project_id, lifecycle.rotate, secret=call.body.secret, grace_seconds=grace)
    return replace(answer, told={"secret": call.body.secret, "graceSeconds": grace})


def request_job(call: Call, tx: Transaction, project_id: str, ask: Callable[..., Job], **what: Any) -> ViewResponse:
    """Ask for a job of the owner's project, and answer with both."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    job = ask(tx, project.id, **what, by=call.owner_id, owner_id=call.owner_id, request_id=call.request_id)
    after = projects.find_owned(tx, project_id, call.owner_id)
    return waiting.accepted_response(
        job_json(tx, job), project={**project_out(call, after), "currentJob": after.current_job or job.id}
    )
