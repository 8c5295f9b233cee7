"""What an owner may ask of a project's life, and when: the one place where its state is checked before a job exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.projects import ProjectBusy
from infra.sql import statements
from jobs import kind as kinds
from jobs.enqueue import enqueue
from jobs.kinds.configure import ConfigureProject
from jobs.kinds.extension import ExtendProject
from jobs.kinds.pause import PauseProject
from jobs.kinds.restart import RestartProject
from jobs.kinds.resume import ResumeProject
from jobs.kinds.rotate_secret import RotateSecret
from jobs.kinds.vacuum import VacuumProject
from jobs.table import Job

if TYPE_CHECKING:
    from infra.database import Transaction

SQL = statements(__file__)


def pause(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for an active project to be paused; a pause under way is returned. Raises ProjectBusy."""
    return _ask(tx, PauseProject(project_id), ("active",), asked)


def resume(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for a paused project to be resumed; a resume under way is returned. Raises ProjectBusy."""
    return _ask(tx, ResumeProject(project_id), ("paused",), asked)


def restart(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for an active project to be restarted; a restart under way is returned. Raises ProjectBusy."""
    return _ask(tx, RestartProject(project_id), ("active",), asked)


def vacuum(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for an active project to be vacuumed; a vacuum under way is returned. Raises ProjectBusy."""
    return _ask(tx, VacuumProject(project_id), ("active",), asked)


def rotate(tx: Transaction, project_id: str, secret: str, grace_seconds: int, **asked: Any) -> Job:
    """Ask for a secret of an active or paused project to be rotated; the same under way is returned.

    Raises ProjectBusy.
    """
    return _ask(tx, RotateSecret(project_id, secret, grace_seconds), ("active", "paused"), asked)


def extend(tx: Transaction, project_id: str, extension: str, wanted: dict[str, bool], **asked: Any) -> Job:
    """Ask for an extension of an active project to be as `wanted` (present, cascade). Raises ProjectBusy."""
    status = tx.value(SQL.status, {"project": project_id})
    if status != "active":
        raise ProjectBusy(status or "deleted", None)
    return enqueue(tx, ExtendProject(project_id, extension, **wanted), **asked)


def configure(tx: Transaction, project_id: str, **asked: Any) -> Job:
    """Ask for what was changed in the catalogue to take effect, whatever the state: it goes by the one it finds."""
    return enqueue(tx, ConfigureProject(project_id), **asked)


def _ask(tx: Transaction, arguments: Any, wanted: tuple[str, ...], asked: dict[str, Any]) -> Job:
    """Enqueue as `asked` says (by, owner_id, request_id), unless the state or another job is in the way."""
    # The row is the lock: the last step of a job that changes the state takes turns with us.
    status = tx.value(SQL.status, {"project": arguments.project_id})
    declared = kinds.of(arguments)
    lane = f"{arguments.project_id}/{declared.lane}"
    open_job = tx.one(Job, SQL.in_the_way, {"lane": lane})
    same = open_job is not None and (open_job.kind, open_job.args) == (declared.name, kinds.to_json(arguments))
    if open_job is not None and same and open_job.status != "cancelling":
        return open_job
    if open_job is not None or status not in wanted:
        raise ProjectBusy(status or "deleted", open_job.id if open_job else None)
    return enqueue(tx, arguments, **asked)
