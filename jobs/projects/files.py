"""The bytes of projects' files: they outlast a deleted project for as long as a backup can bring it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.ids import is_project_id
from infra.blobs.places import blob_places, projects_with_bytes, remove_bytes
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.blobs.store import BlobStore
    from infra.composition import Infra
    from jobs.engine.run import Run

SQL = statements(__file__)


def place_of(infra: Infra, project_id: str) -> BlobStore:
    """Return where the bytes of a project's files are."""
    return blob_places(infra.settings)(project_id)


def remove_files(run: Run[Any], project_id: str) -> None:
    """Ensure that no bytes of the project's files are left. Raises Unavailable."""
    run.check()
    remove_bytes(run.infra.settings, project_id)


def remove_orphaned_files(run: Run[Any]) -> None:
    """Remove the files of deleted projects that no backup can bring back any more."""
    for project_id in filter(is_project_id, projects_with_bytes(run.infra.settings)):
        with run.infra.database.autocommit() as tx:
            gone = tx.value(SQL.is_gone, {"project": project_id})
        if gone:
            remove_files(run, project_id)
            run.log(f"removed the files of {project_id}")
