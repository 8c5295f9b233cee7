"""The status of a project as the data plane asks for it: at most a second old."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from app.http.context import EXTENSION
from catalog import projects
from catalog.ids import is_project_id
from catalog.project_states import SEEN_BY_CLIENTS

if TYPE_CHECKING:
    from flask import Flask

    from app.http.context import AppContext


def status_of(app: Flask, project_id: str) -> str | None:
    """Return what a client of the project may know; None when there is none. Raises Unavailable."""
    if not is_project_id(project_id):
        return None
    world = cast("AppContext", app.extensions[EXTENSION])

    def find() -> str | None:
        with world.infra.database.autocommit() as tx:
            return projects.status_of(tx, project_id)

    return SEEN_BY_CLIENTS.get(world.statuses.get(project_id, find) or "")
