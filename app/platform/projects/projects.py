"""Projects of the owner who asks: rows of the catalogue, and the jobs that make or remove what belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.http import paging, waiting
from app.http.answers import ConnectionOut, ProjectAcceptedOut, ProjectOut, ProjectsOut
from app.http.models import EmptyBody, NewProject, PageQuery, ProjectChanges
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.models_life import DeleteQuery
from catalog import audit, capacity, names, projects, secrets
from catalog.project_states import SETTLED
from infra.disk import require_disk_space
from jobs.engine.enqueue import enqueue
from jobs.engine.view import job_json, rfc3339
from jobs.kinds.project.delete import DeleteProject
from jobs.kinds.project.provision import ProvisionProject
from jobs.requests.lifecycle import configure

if TYPE_CHECKING:
    from catalog.projects import Project
    from config.settings import Settings
    from infra.composition import Infra
    from infra.postgres.database import Transaction

routes = Routes("projects")
QUOTA_IN_PRODUCTION = 3
NOT_PUBLIC = "the database is reached from within only; DATABASE_PUBLIC_HOST would name a public port"


def created_response(call: Call, tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of a creation that the client waited for."""
    project = projects.find_owned(tx, str(answer.project_id), call.owner_id)
    body = {"project": project_out(call, project), "job": (answer.body or {})["job"]}
    headers = {**answer.headers, "Location": f"/api/projects/{project.id}"}
    return ViewResponse(body, 201, headers, answer.job_id, project.id)


def updated_response(call: Call, tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of a change that the client waited for."""
    project = projects.find_owned(tx, str(answer.project_id), call.owner_id)
    return ViewResponse(project_out(call, project), 200, answer.headers, answer.job_id, project.id)


def deleted_response(_call: Call, _tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of a deletion that the client waited for."""
    return ViewResponse({"job": (answer.body or {})["job"]}, 200, answer.headers, answer.job_id, answer.project_id)


@routes.change(
    "POST", "/api/projects", action="project.create", who="owner", body=NewProject, final=created_response,
    answers={202: ProjectAcceptedOut, 201: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def create(call: Call, tx: Transaction) -> ViewResponse:
    """Creates a project; the job provisions it."""
    require_disk_space(call.world.settings)
    size = call.body.pool_size or capacity.default_pool_size(tx)
    project = projects.create(
        tx, call.owner_id, name=call.body.name, pool_size=size, quota=default_quota(call.world.settings)
    )
    capacity.check_pools_fit(tx, call.world.settings)
    job = enqueue(
        tx, ProvisionProject(project.id), by=call.owner_id, owner_id=call.owner_id, request_id=call.request_id
    )
    return waiting.accepted_response(job_json(tx, job), project={**project_out(call, project), "currentJob": job.id})


@routes.get("/api/projects", who="owner", query=PageQuery, answers={200: ProjectsOut})
def list_projects(call: Call) -> ViewResponse:
    """Lists the projects, newest first."""
    before = paging.decode_time_and_id(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        found = projects.page(tx, call.owner_id, before=before, limit=call.query.limit + 1)
    return ViewResponse(
        paging.page(
            "projects",
            found,
            call.query.limit,
            show=lambda project: project_out(call, project),
            place=lambda project: paging.encode_cursor(project.created_at.isoformat(), project.id),
        )
    )


@routes.get("/api/projects/<project_id>", who="owner", answers={200: ProjectOut})
def show(call: Call, project_id: str) -> ViewResponse:
    """Shows a project."""
    with call.world.infra.database.autocommit() as tx:
        return ViewResponse(project_out(call, projects.find_owned(tx, project_id, call.owner_id)))


@routes.change(
    "PATCH", "/api/projects/<project_id>", action="project.update", who="owner",
    body=ProjectChanges, final=updated_response,
    answers={200: ProjectOut, 202: ProjectAcceptedOut},
)  # fmt: skip
def update(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Changes name and pool size; the pool of an active project by a job."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    projects.update(tx, project, name=call.body.name, pool_size=call.body.pool_size)
    changed = projects.find_owned(tx, project_id, call.owner_id)
    if changed.pool_size > project.pool_size:
        capacity.check_pools_fit(tx, call.world.settings)
    if project.status != "active" or changed.pool_size == project.pool_size:
        return ViewResponse(project_out(call, changed), project_id=project.id)
    job = configure(tx, project.id, by=call.owner_id, owner_id=call.owner_id, request_id=call.request_id)
    current = changed.current_job or job.id
    return waiting.accepted_response(job_json(tx, job), project={**project_out(call, changed), "currentJob": current})


@routes.change(
    "DELETE", "/api/projects/<project_id>", action="project.delete", who="owner", body=EmptyBody, query=DeleteQuery,
    final=deleted_response, answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def delete(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Deletes a project; its name is free at once. It can be brought back for a while, unless `?purge=true`."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    projects.mark_deleting(tx, project)
    wanted = DeleteProject(project.id, purge=call.query.purge)
    job = enqueue(tx, wanted, by=call.owner_id, owner_id=call.owner_id, request_id=call.request_id)
    marked = projects.find_owned(tx, project_id, call.owner_id)
    return waiting.accepted_response(job_json(tx, job), project={**project_out(call, marked), "currentJob": job.id})


@routes.get("/api/projects/<project_id>/connection", who="owner", scope="write", answers={200: ConnectionOut})
def connection(call: Call, project_id: str) -> ViewResponse:
    """Shows how to connect, with the keys; each look is audited."""
    with call.world.infra.database.transaction() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        if project.status not in SETTLED:
            raise projects.ProjectBusy(project.status, project.current_job)
        known = secrets.read_all(tx, call.world.infra.vault, project.id)
        actor = call.caller.actor if call.caller else call.owner_id
        who = audit.AuditEntry(actor, "project.connection", address=call.address, request_id=call.request_id)
        audit.record(tx, audit.AuditEntry(**{**vars(who), "owner_id": call.owner_id, "project_id": project.id}))
    return ViewResponse(_connection(call, project, known), headers={"Cache-Control": "no-store"})


def _connection(call: Call, project: Project, known: dict[str, str]) -> dict[str, Any]:
    owner = names.roles(project.id).owner
    endpoints = _endpoints(call, project)
    return {
        **_database_urls(call.world.infra, names.database(project.id), owner, known[names.password(owner)]),
        "restUrl": endpoints["restUrl"],
        "authUrl": None,
        "storageUrl": None,
        "projectUrl": endpoints["projectUrl"],
        "anonKey": known[names.ANON_KEY],
        "serviceRoleKey": known[names.SERVICE_KEY],
    }


def _database_urls(infra: Infra, database: str, owner: str, password: str) -> dict[str, str | None]:
    """Return how a client reaches the database: itself, and by the pooler; in containers neither is open to others."""
    settings, pooled = infra.settings, infra.pooler.exists
    if settings.runtime == "embedded":
        straight = infra.databases.uri(database, owner, password)
        return {
            "databaseUrl": straight,
            "poolerUrl": infra.pooler.uri(database, owner, password) if pooled else None,
            "reason": None,
        }
    if not settings.database_public_host:
        return {"databaseUrl": None, "poolerUrl": None, "reason": NOT_PUBLIC}
    who = f"{quote(owner, safe='')}:{quote(password, safe='')}"
    straight = f"postgresql://{who}@{settings.database_public_host}/{database}"
    return {"databaseUrl": straight, "poolerUrl": None, "reason": "the pooler is reached from within only"}


def project_out(call: Call, project: Project) -> dict[str, Any]:
    """Return a project as every answer shows it."""
    return {
        "id": project.id,
        "name": project.name,
        "status": project.status,
        "statusReason": project.status_reason,
        "drift": project.drift,
        "poolSize": project.pool_size,
        "createdAt": rfc3339(project.created_at),
        "updatedAt": rfc3339(project.updated_at),
        "endpoints": _endpoints(call, project),
        "currentJob": project.current_job,
    }


def _endpoints(call: Call, project: Project) -> dict[str, str]:
    base = f"{call.world.settings.base_url}/project/{project.id}"
    return {"projectUrl": base, "restUrl": f"{base}/rest/v1"}


def default_quota(settings: Settings) -> int:
    """Return how many projects an owner may have of whom nothing else was said; 0: no limit."""
    open_in_production = settings.env == "production" and settings.registration == "open"
    return settings.max_projects_per_owner or (QUOTA_IN_PRODUCTION if open_in_production else 0)
