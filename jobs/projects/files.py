"""The bytes of projects' files: they outlast a deleted project for as long as a backup can bring it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.ids import is_project_id
from infra.blobs.places import blob_places
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
    place_of(run.infra, project_id).remove_all()


def remove_orphaned_files(run: Run[Any]) -> None:
    """Remove the files of deleted projects that no backup can bring back any more."""
    folder = run.infra.settings.files_folder
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not is_project_id(path.name):
            continue
        with run.infra.database.autocommit() as tx:
            gone = tx.value(SQL.is_gone, {"project": path.name})
        if gone:
            remove_files(run, path.name)
            run.log(f"removed the files of {path.name}")
