"""Migrations that an owner sends to a project: the list with what the database says of it, and the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import waiting
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.answers_migrations import MigrationAcceptedOut, MigrationsOut
from app.platform.projects.logins import with_project_login
from app.platform.projects.models_migrations import NewMigration
from catalog import names, owner_migrations, projects, secrets
from infra.errors import InfraError
from infra.postgres.owner_migration import OwnerSession
from jobs.engine.table import find
from jobs.engine.view import job_json, rfc3339
from jobs.requests import migrating

if TYPE_CHECKING:
    from catalog.owner_migrations import OwnerMigration
    from infra.postgres.database import Transaction

routes = Routes("migrations")
SESSION, RECORDS_MS = "launchdb-migrations", 2000


def applied_response(_call: Call, tx: Transaction, answer: ViewResponse) -> ViewResponse:
    """Make the answer of a migration that the client waited for."""
    body = answer.body or {}
    number = str(body["migration"]["version"])
    known = {row.version: row for row in owner_migrations.list_migrations(tx, str(answer.project_id))}
    return ViewResponse(
        {**body, "migration": _shown(known[number])}, 200, answer.headers, answer.job_id, answer.project_id
    )


@routes.get("/api/projects/<project_id>/migrations", who="owner", answers={200: MigrationsOut})
def list_migrations(call: Call, project_id: str) -> ViewResponse:
    """Lists the migrations that were sent, with their checksums and in what the database differs."""
    with call.world.infra.database.autocommit() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        known = owner_migrations.list_migrations(tx, project.id)
    records = _records(call, project.id) if project.status == "active" else None
    return ViewResponse(
        {
            "migrations": [_shown(row, records) for row in known],
            "driftChecked": records is not None,
            "unknown": sorted(set(records or {}) - {row.version for row in known}),
        }
    )


@routes.change(
    "POST", "/api/projects/<project_id>/migrations", action="project.migrate", who="owner", body=NewMigration,
    final=applied_response, answers={202: MigrationAcceptedOut, 200: MigrationAcceptedOut},
)  # fmt: skip
def send(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Applies a migration as the project's owner; one that is applied already is answered so."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    migration = owner_migrations.submit(tx, project.id, owner_migrations.NewOwnerMigration(**call.body.model_dump()))
    if migration.status == "applied":
        return ViewResponse({"migration": _shown(migration), "job": None}, 200, project_id=project.id)
    job = find(tx, migration.job_id) if migration.job_id else None
    if job is None:
        who = {"by": call.owner_id, "owner_id": call.owner_id, "request_id": call.request_id}
        job = migrating.request_owner_migration(tx, migration, **who)
    return waiting.accepted_response(job_json(tx, job), migration={**_shown(migration), "jobId": job.id})


def _records(call: Call, project_id: str) -> dict[str, str] | None:
    infra = call.world.infra

    def recorded(uri: str) -> dict[str, str]:
        return OwnerSession(infra.databases.cluster, uri, SESSION).recorded_checksums(timeout_ms=RECORDS_MS)

    try:
        return with_project_login(infra, project_id, names.roles(project_id).owner, recorded)
    except (InfraError, secrets.SecretMissing):
        return None


def _shown(row: OwnerMigration, records: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "version": row.version,
        "name": row.name,
        "status": row.status,
        "checksum": row.checksum,
        "transactional": row.transactional,
        "jobId": row.job_id,
        "createdAt": rfc3339(row.created_at),
        "appliedAt": rfc3339(row.finished_at) if row.status == "applied" else None,
        "drift": recorded_drift(row, records),
    }


def recorded_drift(row: OwnerMigration, records: dict[str, str] | None) -> str | None:
    """Return in what a migration's record in the project's database differs; None: in nothing, or it is not known."""
    if records is None:
        return None
    recorded = records.get(row.version)
    if row.status != "applied":
        return None if recorded is None else "the database has a record of it, but it was not applied from here"
    if recorded is None:
        return "the database has no record of it"
    return None if recorded == row.checksum else "the database has a record of it with other SQL"
