"""Migrations that owners have asked for: their SQL, in which order they may come, and what became of each."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
# What a first line has to say for the migration not to run in a transaction.
_PLAIN = re.compile(r"--\s*launchdb:\s*no-transaction\s*")


class MigrationConflict(Exception):
    """The version is applied or under way with other SQL, may be half applied, or comes too late."""


@dataclass(frozen=True)
class OwnerMigration:
    """A row of the table owner_migrations, without its SQL."""

    id: int
    project_id: str
    version: str
    name: str
    checksum: str
    transactional: bool
    timeout_ms: int
    rerun: bool
    status: str
    began_as: str | None
    job_id: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def doubt(self) -> str:
        """What is said of one that stopped in its middle, outside a transaction."""
        return f"version {self.version} may be half applied: look at the database, then send it again with rerun"


@dataclass(frozen=True)
class NewOwnerMigration:
    """What an owner sends. rerun: although it may be half applied."""

    version: str
    name: str
    sql: str
    timeout_ms: int
    rerun: bool = False

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def transactional(self) -> bool:
        """Whether it runs in a transaction: unless its first line says otherwise."""
        return _PLAIN.fullmatch(self.sql.partition("\n")[0].rstrip("\r")) is None


def submit(tx: Transaction, project_id: str, wanted: NewOwnerMigration) -> OwnerMigration:
    """Write a migration that is to be applied; the same one again is the one that is there, in whatever state.

    The project's row has to be locked. Raises MigrationConflict.
    """
    values = {"project": project_id, "version": wanted.version}
    known = tx.one(OwnerMigration, SQL.same_version, values)
    if known is not None and known.status in ("applied", "queued", "running"):
        if known.checksum == wanted.checksum:
            return known
        state = "applied" if known.status == "applied" else f"under way in the job {known.job_id}"
        raise MigrationConflict(f"version {known.version} is {state}, with other SQL")
    if known is not None and known.status == "doubtful" and not wanted.rerun:
        raise MigrationConflict(known.doubt)
    _be_the_last(tx, project_id, wanted.version)
    if known is not None:
        tx.execute(SQL.replace, {"id": known.id})
    row = {**vars(wanted), "checksum": wanted.checksum, "transactional": wanted.transactional, "project": project_id}
    made = tx.one(OwnerMigration, SQL.submit, row)
    if made is None:
        raise RuntimeError("the migration was not written")
    return made


def assign_job(tx: Transaction, migration_id: int, job_id: str) -> None:
    """Record which job applies it."""
    tx.execute(SQL.given_to, {"id": migration_id, "job": job_id})


def find(tx: Transaction, migration_id: int) -> OwnerMigration | None:
    """Return a migration; None once its project is forgotten."""
    return tx.one(OwnerMigration, SQL.find, {"id": migration_id})


def sql_of(tx: Transaction, migration_id: int) -> str:
    """Return the SQL of a migration."""
    return str(tx.value(SQL.text, {"id": migration_id}))


def list_migrations(tx: Transaction, project_id: str) -> list[OwnerMigration]:
    """Return a project's migrations by version; those that were replaced are left out."""
    return tx.all(OwnerMigration, SQL.listing, {"project": project_id})


def mark_begun(tx: Transaction, migration_id: int, transaction: str | None) -> None:
    """Record that it runs from now on, and in which transaction, if in one."""
    tx.execute(SQL.begin, {"id": migration_id, "began_as": transaction})


def mark_settled(tx: Transaction, migration_id: int, status: str) -> None:
    """Record what became of it: applied, failed or doubtful."""
    tx.execute(SQL.settle, {"id": migration_id, "status": status})


def mark_waiting_failed(tx: Transaction, migration_id: int) -> None:
    """Record that one which never began will not."""
    tx.execute(SQL.fail_waiting, {"id": migration_id})


def reopen(tx: Transaction, migration_id: int) -> None:
    """Allow one that failed to be tried again. Raises MigrationConflict."""
    known = find(tx, migration_id)
    if known is None or known.status == "replaced":
        raise MigrationConflict("the migration was replaced by one that was sent later")
    if known.status == "doubtful":
        raise MigrationConflict(known.doubt)
    if known.status == "failed":
        _be_the_last(tx, known.project_id, known.version)
        tx.execute(SQL.reopen, {"id": migration_id})


def failed_before(tx: Transaction, migration: OwnerMigration) -> str | None:
    """Return the version before this one that has failed while this one waited for its turn."""
    version: str | None = tx.value(SQL.failed_before, {"id": migration.id})
    return version


def delete_all(tx: Transaction, project_id: str) -> None:
    """Forget all migrations of a project."""
    tx.execute(SQL.forget, {"project": project_id})


def _be_the_last(tx: Transaction, project_id: str, version: str) -> None:
    later = tx.value(SQL.later, {"project": project_id, "version": version})
    if later is not None:
        raise MigrationConflict(f"version {version} comes before {later}, which is applied or under way")
