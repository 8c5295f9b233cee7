"""Extensions of an owner's project: what may be had here, what is there, and the jobs that change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import waiting
from app.http.answers import ProjectAcceptedOut
from app.http.problems import Problem, invalid
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.answers_sql import ExtensionsOut
from app.platform.projects.lifecycle import finished_response
from app.platform.projects.logins import with_project_login
from app.platform.projects.models_sql import ExtensionRemoval, NewExtension
from app.platform.projects.projects import project_out
from catalog import names, projects
from infra.postgres.extensions import NOT_LISTED, Extension, Extensions, Loads, available_extensions
from infra.postgres.sql import statements
from jobs.engine.view import job_json
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.postgres.database import Transaction

SQL = statements(__file__)
routes = Routes("extensions")
SESSION = "launchdb-extensions"
_PATH = "/api/projects/<project_id>/extensions"


@routes.get(_PATH, who="owner", answers={200: ExtensionsOut})
def list_extensions(call: Call, project_id: str) -> ViewResponse:
    """Lists the extensions that a project may have and those it has, each with why it cannot be had."""
    infra = call.world.infra
    with infra.database.autocommit() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        if project.status != "active":
            raise projects.ProjectBusy(project.status, project.current_job)
    with call.world.rooms.hold(project_id) as held:
        if not held:
            raise Problem(429, "too-many-queries", "as many queries run as may", headers={"Retry-After": "1"})
        found = with_project_login(
            infra,
            project.id,
            names.roles(project.id).owner,
            lambda uri: Extensions(
                infra.databases.cluster, names.database(project.id), uri, SESSION, loads=_loads(call)
            ).list_extensions(),
        )
    return ViewResponse({"extensions": [_shown(extension) for extension in found]})


@routes.change(
    "POST", _PATH, action="project.extension", who="owner", body=NewExtension, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def add(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Installs an extension of the list in a project."""
    known = _offered(call)
    return _asked(call, tx, project_id, known.reason or "" if known else NOT_LISTED, present=True)


@routes.change(
    "DELETE", _PATH, action="project.extension", who="owner", body=ExtensionRemoval, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def remove(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Drops an extension from a project; refused while something depends on it, unless with cascade."""
    reason = "" if _offered(call) else NOT_LISTED
    return _asked(call, tx, project_id, reason, present=False, cascade=call.body.cascade)


def _offered(call: Call) -> Extension | None:
    return available_extensions(call.world.infra.databases.cluster, SESSION, _loads(call)).get(call.body.name)


def _loads(call: Call) -> Loads:
    """Return who tells whether libraries load: a function of the administrator's, whom the API is not."""

    def ask(wanted: Sequence[str]) -> list[str]:
        with call.world.infra.database.autocommit() as tx:
            return [row["name"] for row in tx.rows(SQL.loadable, {"names": list(wanted)})]

    return ask


def _asked(call: Call, tx: Transaction, project_id: str, reason: str, **wanted: Any) -> ViewResponse:
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    if reason:
        raise invalid("/name", reason)
    who = {"by": call.owner_id, "owner_id": call.owner_id, "request_id": call.request_id}
    job = lifecycle.change_extension(tx, project.id, call.body.name, wanted, **who)
    asked = projects.find_owned(tx, project_id, call.owner_id)
    return waiting.accepted_response(
        job_json(tx, job), project={**project_out(call, asked), "currentJob": asked.current_job or job.id}
    )


def _shown(extension: Extension) -> dict[str, Any]:
    return {
        "name": extension.name,
        "version": extension.installed or extension.version,
        "installed": extension.installed is not None,
        "schema": extension.schema,
        "available": extension.reason is None,
        "reason": extension.reason,
    }
