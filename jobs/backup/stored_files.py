"""The files of a project while it is backed up and restored: where their bytes are, and what keeps them there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog import names
from infra.backup.differences import shortened
from infra.backup.objects.hold import BACKUP, RESTORE, FilesHold
from infra.backup.objects.part import ObjectSource
from infra.errors import Refused
from jobs.backup import backups
from jobs.projects.files import place_of

if TYPE_CHECKING:
    from infra.backup.sets import Manifest
    from jobs.engine.run import Run


def source_of(run: Run[Any], project_id: str) -> ObjectSource:
    """Return where the files of a project are for as long as this job backs it up."""
    hold = FilesHold(run.infra.databases.cluster, names.database(project_id), run.session, f"{BACKUP}{run.job_id}")
    return ObjectSource(place_of(run.infra, project_id), hold)


def restore_hold(run: Run[Any], database: str, job_id: str | None = None) -> FilesHold:
    """Return what keeps in a database the bytes that a restore needs, or may need again. job_id: the restore's."""
    return FilesHold(run.infra.databases.cluster, database, run.session, f"{RESTORE}{job_id or run.job_id}")


def hold_for_restore(run: Run[Any], *databases: str) -> None:
    """Keep what these databases of the project name, from now on until the restore cannot be undone any more."""
    for database in databases:
        restore_hold(run, database).keep()


def bring_back(run: Run[Any], manifest: Manifest, *, partial: bool) -> None:
    """Ensure that the bytes of a set's files are there for this job's project.

    partial  whether that counts although some are damaged, which the job's result names then

    Raises NoRoom, Unavailable, Refused, naming what is damaged.
    """
    returning = backups.store(run.infra).objects.returning(manifest)
    if returning is None:
        return
    place = place_of(run.infra, run.args.project_id)
    lacking = list(returning.place(place, backups.monitor(run, "of files put in place")))
    if lacking and not partial:
        raise Refused(f"the backup does not hold all files any more: {'; '.join(shortened(lacking))}")
    if lacking:
        run.result["lacking"] = shortened([*run.result.get("lacking", ()), *lacking])
