"""One project as Storage serves it: its transactions, as the caller's role or as Storage's own login."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from app.data.errors import PgrstError
from app.data.run.reset import reset_steps
from app.storage.errors import StorageError, of_postgres
from catalog.settings_model import ProjectSettings
from infra.errors import Unavailable
from infra.postgres.database import Transaction, translate_errors
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.data.run.connections import Pool
    from app.data.run.pipeline import PipelineConnection
    from app.storage.serve.caller import Caller
    from infra.instances.activity import ActivityMark
    from infra.instances.storage_files import StorageSpec

SQL = statements(__file__)
# A policy of the owner's, or a lock that one holds, is not waited for without an end.
STATEMENT_MS, LOCK_MS = 30_000, 10_000
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_CLEARING = b"; ".join(step.text for step in reset_steps(thorough=True))
_COMMIT, _ROLLBACK = b"COMMIT; " + _CLEARING, b"ROLLBACK; " + _CLEARING


class StorageTransaction(Transaction):
    """A transaction of one request, which runs as Storage's login until it becomes the caller."""

    def become(self, caller: Caller) -> None:
        """Run what follows as the caller's role: policies decide."""
        self.execute(SQL.become, {"role": caller.db_role, "claims": caller.claims_text})

    def become_storage(self) -> None:
        """Run what follows with Storage's own rights, to which policies do not apply."""
        self.execute(SQL.become_storage)

    @property
    def number(self) -> str:
        """The transaction's id, by which what died in it is found."""
        return str(self.value(SQL.number))


@dataclass(frozen=True)
class Asked:
    """What policies can see of a request: the operation, method, path and headers."""

    operation: str
    method: str = ""
    path: str = ""
    headers: str = "{}"

    @classmethod
    def of(cls, operation: str, method: str, path: str, headers: Mapping[str, str]) -> Asked:
        """Return it for a request; its keys and tokens stay out."""
        kept = {name.lower(): value for name, value in headers.items() if _is_text(value)}
        for secret in ("authorization", "apikey", "cookie", "x-signature", "x-amz-security-token"):
            kept.pop(secret, None)
        return cls(f"storage.{operation}", method, path if _is_text(path) else "", json.dumps(kept))


@dataclass(frozen=True)
class StorageProject:
    """One project as Storage serves it now. mark: notes that somebody asks for it."""

    spec: StorageSpec
    settings: ProjectSettings
    pool: Pool
    mark: ActivityMark

    @classmethod
    def of(cls, spec: StorageSpec, pool: Pool, mark: ActivityMark) -> StorageProject:
        """Make it of its spec. Raises ValueError for settings that make no sense."""
        return cls(spec, ProjectSettings.model_validate(spec.settings), pool, mark)

    @property
    def id(self) -> str:
        """The project's id."""
        return self.spec.project_id

    @contextmanager
    def transaction(self, asked: Asked) -> Iterator[StorageTransaction]:
        """Lend a transaction as Storage's login: committed on leaving, rolled back on an exception.

        Raises StorageError for what Postgres refuses, Unavailable when it is away or lost a race.
        """
        with self._translated(), self.pool.lend() as connection, _in_transaction(connection):
            tx = StorageTransaction(connection)
            tx.execute(SQL.begin, {**vars(asked), "statement_ms": str(STATEMENT_MS), "lock_ms": str(LOCK_MS)})
            yield tx

    @contextmanager
    def rehearsal(self, asked: Asked) -> Iterator[StorageTransaction]:
        """Lend a transaction that is rolled back in any case: what Postgres would say is known, and nothing is done."""
        with suppress(_Rehearsed), self.transaction(asked) as tx:
            yield tx
            raise _Rehearsed

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translate_errors():
                yield
        except psycopg.Error as error:
            raise of_postgres(error) from error
        except PgrstError as error:
            raise _busy_or_away(error) from error


class _Rehearsed(Exception):
    """The transaction was only to be tried."""


@contextmanager
def _in_transaction(connection: PipelineConnection) -> Iterator[None]:
    """Run a transaction. What a policy or trigger has left in the session goes in the round trip that ends it.

    A pooler may lend the session to another request right behind that.
    """
    connection.is_touched = True
    connection.execute(_BEGIN)
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):  # a session that is gone has nothing to roll back
            _end(connection, _ROLLBACK)
        raise
    if connection.info.transaction_status == TransactionStatus.INERROR:  # COMMIT would roll back without a word
        _end(connection, _ROLLBACK)
        raise psycopg.errors.InFailedSqlTransaction("a statement has failed, and nothing was committed")
    _end(connection, _COMMIT)


def _end(connection: PipelineConnection, ending: bytes) -> None:
    connection.execute(ending)
    connection.is_touched = False


def _busy_or_away(error: PgrstError) -> Exception:
    if error.code == "PGRST003":
        return StorageError(429, "too_many_connections", "SlowDown", "Too many connections issued to the database")
    return Unavailable("the project's database is away")


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and "\0" not in value and bool(value.encode() or not value)
    except UnicodeEncodeError:
        return False
