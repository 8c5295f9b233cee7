"""One project as Storage serves it: its transactions, as the caller's role or as Storage's own login."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from app.data.errors import LocksExhausted, PgrstError
from app.storage.errors import StorageError, of_postgres
from app.storage.serve.transaction import StorageTransaction
from catalog.settings_model import ProjectSettings
from infra.errors import LockTableFull, Unavailable
from infra.postgres.database import translate_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.data.run.connections import Pool
    from infra.instances.activity import ActivityMark
    from infra.instances.storage_files import StorageSpec


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
    def transaction(self, asked: Asked, *, once: bool = False) -> Iterator[StorageTransaction]:
        """Lend a transaction as Storage's login: committed on leaving, rolled back on an exception.

        once  whether it ends with the first statements that are answered

        Raises StorageError for what Postgres refuses, Unavailable when it is away or lost a race.
        """
        with self._translated(), self.pool.lend() as connection:
            tx = StorageTransaction(connection, vars(asked), once=once)
            try:
                yield tx
            except BaseException:
                tx.roll_back()
                raise
            tx.commit()

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
        except LocksExhausted as error:
            raise LockTableFull(str(error)) from error
        except PgrstError as error:
            raise _busy_or_away(error) from error


class _Rehearsed(Exception):
    """The transaction was only to be tried."""


def _busy_or_away(error: PgrstError) -> Exception:
    if error.code == "PGRST003":
        return StorageError(429, "too_many_connections", "SlowDown", "Too many connections issued to the database")
    return Unavailable("the project's database is away")


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and "\0" not in value and bool(value.encode() or not value)
    except UnicodeEncodeError:
        return False
