"""SQL of an owner in a project of theirs: it runs as the project's owner login, never as anybody mightier."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from app.http.problems import Problem, invalid
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.answers_sql import QueryOut
from app.platform.projects.logins import with_project_login
from app.platform.projects.models_sql import NewQuery
from catalog import audit, names, projects
from catalog.project_states import REACHABLE
from infra.postgres.owner_sql import OwnerSql, SqlRefused
from infra.postgres.tenant_session import Bounds, Crowded, TookTooLong, TooLarge

if TYPE_CHECKING:
    from infra.postgres.owner_sql import QueryResult

routes = Routes("sql")
_VERB = re.compile(r"\s*([A-Za-z]{1,20})\b", re.ASCII)
_LATER = {"Retry-After": "1"}
OUT_OF_MEMORY = "53200"


@routes.route(
    "POST", "/api/projects/<project_id>/sql", who="owner", action="project.sql", body=NewQuery,
    answers={200: QueryOut},
)  # fmt: skip
def run(call: Call, project_id: str) -> ViewResponse:
    """Runs SQL as the project's owner login, within limits; each run is audited, without its text."""
    bounds = _bounds(call)
    with call.world.rooms.hold(project_id) as held:
        if not held:
            raise Problem(429, "too-many-queries", "as many queries run as may; try again", headers=_LATER)
        _audit(call, project_id)
        began = time.monotonic()
        found = _asked(call, project_id, bounds)
    took = int((time.monotonic() - began) * 1000)
    return ViewResponse(_shown(found, took), headers={"Cache-Control": "no-store"}, project_id=project_id)


def _bounds(call: Call) -> Bounds:
    settings = call.world.settings
    asked = call.body.timeout_ms
    if asked is not None and asked > settings.sql_seconds * 1000:
        raise invalid("/timeoutMs", f"is at most {settings.sql_seconds * 1000} here")
    seconds = asked / 1000 if asked else settings.sql_seconds
    return Bounds(seconds, rows=settings.sql_max_rows, size=settings.sql_max_bytes)


def _audit(call: Call, project_id: str) -> None:
    """Audit that the owner login of a project that serves, or sleeps, is used: the verb alone, since SQL holds data."""
    with call.world.infra.database.transaction() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        if project.status not in REACHABLE:
            raise projects.ProjectBusy(project.status, project.current_job)
        verb = _VERB.match(call.body.query)
        detail = {"verb": verb[1].upper() if verb else "", "readOnly": call.body.read_only}
        audit.record(
            tx,
            audit.AuditEntry(
                call.caller.actor if call.caller else call.owner_id,
                "project.sql",
                address=call.address,
                request_id=call.request_id,
                owner_id=call.owner_id,
                project_id=project.id,
                detail={**detail, "characters": len(call.body.query)},
            ),
        )


def _asked(call: Call, project_id: str, bounds: Bounds) -> QueryResult:
    infra, login = call.world.infra, names.roles(project_id).owner

    def ask(uri: str) -> QueryResult:
        owner = OwnerSql(infra.databases.cluster, uri)
        return owner.run(call.body.query, call.body.params, bounds, read_only=call.body.read_only)

    try:
        return with_project_login(infra, project_id, login, ask)
    except SqlRefused as error:
        more = {"sqlstate": error.sqlstate, "position": error.position, "hint": error.hint}
        # Where rows are made, they may be too much for what one session of Postgres may have of memory.
        kind = "sql-too-large" if error.sqlstate == OUT_OF_MEMORY else "sql-error"
        raise Problem(422, kind, str(error), more=more) from None
    except TookTooLong:
        told = f"it took longer than {bounds.seconds:g} s and was stopped; what it had not committed is rolled back"
        raise Problem(422, "sql-timeout", told) from None
    except TooLarge as error:
        raise Problem(422, "sql-too-large", str(error)) from None
    except Crowded as error:
        raise Problem(429, "too-many-queries", str(error), headers=_LATER) from None


def _shown(found: QueryResult, took: int) -> dict[str, Any]:
    labels = _told_apart([name for name, _kind in found.columns])
    return {
        "columns": [{"name": label, "type": kind} for label, (_, kind) in zip(labels, found.columns, strict=True)],
        "rows": [dict(zip(labels, row, strict=True)) for row in found.rows],
        "rowCount": found.count,
        "truncated": found.truncated,
        "command": found.command,
        "notices": found.notices,
        "durationMs": took,
    }


def _told_apart(labels: list[str]) -> list[str]:
    """Give columns of one name a number, since a row is an object: a, a_2, a_3."""
    told: list[str] = []
    for label in labels:
        number, name = 1, label
        while name in told:
            number += 1
            name = f"{label}_{number}"
        told.append(name)
    return told
