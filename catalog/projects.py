"""Projects in the catalogue: rows that jobs turn into databases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import psycopg

from catalog import project_states as states
from catalog.ids import is_project_id, new_project_id
from catalog.owners import translate_missing_owner
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
QuotaState = Literal["free", "warned", "over"]


class ProjectNotFound(Exception):
    """The owner has no such project."""


class NameTaken(Exception):
    """The owner has another project of this name."""


class ProjectExists(Exception):
    """There is, or was, a project of this id."""


class QuotaExceeded(Exception):
    """The owner has as many projects as allowed."""


class ProjectBusy(Exception):
    """The project's state does not allow this; the message names the state."""

    def __init__(self, status: str, job_id: str | None) -> None:
        super().__init__(f"the project is {status}" + (f"; the job {job_id} is in the way" if job_id else ""))
        self.status, self.job_id = status, job_id


@dataclass(frozen=True)
class Project:
    """A row of the table projects."""

    id: str
    owner_id: str
    name: str
    status: str
    status_reason: str | None
    pool_size: int
    created_at: datetime
    updated_at: datetime
    current_job: str | None = None
    drift: list[str] = field(default_factory=list)


def create(tx: Transaction, owner_id: str, *, name: str, pool_size: int, quota: int) -> Project:
    """Write a project that is to be provisioned. Raises NameTaken, QuotaExceeded, OwnerGone.

    quota  how many projects an owner may have for whom nothing else was said; 0: no limit
    """
    values = {"id": new_project_id(), "owner": owner_id, "name": name, "pool_size": pool_size}
    _heed_quota(tx, values, quota)
    with translate_missing_owner():
        project = tx.one(Project, SQL.create, values)
    if project is None:
        raise NameTaken("you have another project of this name")
    return project


def create_imported(tx: Transaction, project_id: str, owner_id: str, *, name: str, pool_size: int, quota: int) -> None:
    """Create the row of a project of another host, to be restored here under the id that it has there.

    Raises ProjectExists when that id is taken, NameTaken, QuotaExceeded, OwnerGone.
    """
    values = {"id": project_id, "owner": owner_id, "name": name, "pool_size": pool_size}
    if tx.value(SQL.exists, values):
        raise ProjectExists("this project is here already, or was; import it with new keys, as another project")
    _heed_quota(tx, values, quota)
    with translate_missing_owner():
        if tx.one(Project, SQL.create, values) is None:
            raise NameTaken("you have another project of this name")
    mark_restoring(tx, project_id)


def mark_restoring(tx: Transaction, project_id: str) -> None:
    """Record that a project that was just created is to be made of a backup."""
    states.move(tx, project_id, "restoring", by="project.restore as new")


def undelete(tx: Transaction, project_id: str, owner_id: str, *, name: str | None, quota: int) -> None:
    """Mark a deleted project of the owner's as one to be restored. Raises ProjectNotFound, NameTaken, QuotaExceeded.

    name  another one than it had; None: the same
    """
    values = {"id": project_id, "owner": owner_id, "name": name}
    _heed_quota(tx, values, quota)
    if tx.execute(SQL.rename_deleted, values) != 1:
        raise ProjectNotFound("you have no such deleted project")
    try:
        states.move(tx, project_id, "restoring", by="project.restore undeletes")
    except psycopg.errors.UniqueViolation as error:
        raise NameTaken("you have another project of this name; give this one another") from error


def _heed_quota(tx: Transaction, values: dict[str, Any], quota: int) -> None:
    own_quota = tx.value(SQL.quota, values)
    quota = quota if own_quota is None else own_quota
    if quota:
        # The owner's row is the lock: two requests at once cannot both take the last place.
        tx.execute(SQL.lock_owner, values)
        if tx.value(SQL.count, {**values, **states.SETS}) >= quota:
            raise QuotaExceeded(f"you may have {quota} projects")


def find_owned(tx: Transaction, project_id: str, owner_id: str, *, lock: bool = False) -> Project:
    """Return the owner's project. lock: until the transaction ends. Raises ProjectNotFound."""
    if not is_project_id(project_id):
        raise ProjectNotFound("you have no such project")
    if lock:
        tx.execute(SQL.lock, {"id": project_id})
    project = tx.one(Project, SQL.owned, {"id": project_id, "owner": owner_id})
    if project is None:
        raise ProjectNotFound("you have no such project")
    return project


def page(tx: Transaction, owner_id: str, *, before: tuple[str, str] | None, limit: int) -> list[Project]:
    """Return the owner's projects, newest first, from the one after `before` (its time and id)."""
    at, last = before or (None, None)
    return tx.all(Project, SQL.page, {"owner": owner_id, "at": at, "before": last, "limit": limit})


def update(tx: Transaction, project: Project, *, name: str | None, pool_size: int | None) -> None:
    """Change name and pool size; None leaves one as it is. Raises NameTaken, ProjectBusy."""
    if project.status == "deleting":
        raise ProjectBusy(project.status, project.current_job)
    try:
        tx.execute(SQL.change, {"id": project.id, "name": name, "pool_size": pool_size})
    except psycopg.errors.UniqueViolation as error:
        raise NameTaken("you have another project of this name") from error


def mark_deleting(tx: Transaction, project: Project) -> None:
    """Record that the project goes; its name is free at once. Raises ProjectNotFound when it is gone."""
    if not states.move(tx, project.id, "deleting", by="project.delete asked"):
        raise ProjectNotFound("you have no such project")


def status_of(tx: Transaction, project_id: str) -> str | None:
    """Return the project's status, or None when there is none (any more)."""
    status: str | None = tx.value(SQL.status_of, {"id": project_id})
    return status


def owner_of(tx: Transaction, project_id: str) -> str:
    """Return whose project it is. Raises ProjectNotFound."""
    owner = tx.value(SQL.owner_of, {"id": project_id}) if is_project_id(project_id) else None
    if owner is None:
        raise ProjectNotFound("there is no such project")
    return str(owner)


def names_of(tx: Transaction, ids: list[str]) -> dict[str, str]:
    """Return the names of those ids that are projects, whoever owns them."""
    return {row["id"]: row["name"] for row in tx.rows(SQL.names_of, {"ids": ids})}


@dataclass(frozen=True)
class LimitedProject:
    """A project with a quota, or one that was over a quota which it has no more. quota: bytes, 0: none."""

    id: str
    owner_id: str
    name: str
    quota: int
    state: QuotaState


def with_quota(tx: Transaction) -> list[LimitedProject]:
    """Return the reachable projects that have a quota, or are near or over one."""
    return tx.all(LimitedProject, SQL.with_quota, {"reachable": list(states.REACHABLE)})


def set_quota_state(tx: Transaction, project: str, state: QuotaState) -> bool:
    """Record how a project stands; return whether that is news."""
    return tx.execute(SQL.set_quota_state, {"project": project, "state": state}) == 1


def is_over_quota(tx: Transaction, project: str) -> bool:
    """Return whether a project's database is larger than it may be."""
    return bool(tx.value(SQL.is_over_quota, {"project": project}))


def at_quota(tx: Transaction) -> list[LimitedProject]:
    """Return the projects that are near their quota, or over it."""
    return tx.all(LimitedProject, SQL.at_quota, states.SETS)
