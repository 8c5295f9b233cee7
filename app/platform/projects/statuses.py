"""The status of a project as the data plane asks for it: at most a second old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from app.http.context import EXTENSION
from catalog import projects
from catalog.ids import is_project_id

if TYPE_CHECKING:
    from flask import Flask

    from app.http.context import AppContext

Status = Literal["active", "paused", "provisioning", "sleeping"]
# A failed, restoring or leaving project serves nobody; to its clients it is one that is not there yet, or gone.
_SEEN: dict[str, Status] = {
    "active": "active",
    "paused": "paused",
    "sleeping": "sleeping",
    "restoring": "paused",
    "provisioning": "provisioning",
    "failed": "provisioning",
}


def status_of(app: Flask, project_id: str) -> Status | None:
    """Return what a client of the project may know; None when there is none. Raises Unavailable."""
    if not is_project_id(project_id):
        return None
    world = cast("AppContext", app.extensions[EXTENSION])

    def find() -> str | None:
        with world.infra.database.autocommit() as tx:
            return projects.status_of(tx, project_id)

    return _SEEN.get(world.statuses.get(project_id, find) or "")
