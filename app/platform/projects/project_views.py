"""What an owner looks at of a project: how large and busy it is, and who has done what to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import paging
from app.http.models import PageQuery
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.answers_project import AuditOut, StatsOut, audit_entry_out
from app.platform.projects.logins import with_project_login
from catalog import audit, backups, names, projects
from catalog.project_states import SETTLED
from infra.postgres import stats as project_stats
from jobs.engine.view import rfc3339

if TYPE_CHECKING:
    from catalog.backups import Backup
    from infra.postgres.stats import ProjectStats

routes = Routes("project_views")
SESSION = "launchdb-stats"


@routes.get("/api/projects/<project_id>/stats", who="owner", answers={200: StatsOut})
def stats(call: Call, project_id: str) -> ViewResponse:
    """Shows how large a project is, and how busy."""
    with call.world.infra.database.autocommit() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        if project.status not in SETTLED:
            raise projects.ProjectBusy(project.status, project.current_job)
        last = backups.newest(tx, project.id)
    cluster = call.world.infra.databases.cluster
    found = with_project_login(
        call.world.infra,
        project.id,
        names.roles(project.id).dump,
        lambda uri: project_stats.read_stats(cluster, uri, SESSION),
    )
    return ViewResponse(_stats(found, last), headers={"Cache-Control": "no-store"})


@routes.get("/api/projects/<project_id>/audit", who="owner", query=PageQuery, answers={200: AuditOut})
def list_audit(call: Call, project_id: str) -> ViewResponse:
    """Lists who did what to a project, when and from where, newest first."""
    before = paging.decode_number(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        found = audit.page(tx, project.id, before=before, limit=call.query.limit + 1)
    return ViewResponse(
        paging.page(
            "audit",
            found,
            call.query.limit,
            show=audit_entry_out,
            place=lambda line: paging.encode_cursor(str(line.id)),
        )
    )


def _stats(found: ProjectStats, last: Backup | None) -> dict[str, Any]:
    return {
        "databaseBytes": found.database_bytes,
        "tableCount": sum(row["tables"] for row in found.tables),
        "tables": [dict(row) for row in found.tables],
        "storage": {"objects": found.objects, "bytes": found.object_bytes},
        "connections": {"used": found.used, "limit": None if found.limit < 0 else found.limit},
        "lastBackup": rfc3339(last.created_at) if last else None,
    }
