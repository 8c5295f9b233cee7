"""Extensions of one project's database: trusted ones as its owner, the others of the list as the administrator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from infra.errors import Refused
from infra.postgres.database import is_transient
from infra.postgres.sql import statements
from infra.postgres.supabase_sql.alternatives import ALTERNATIVES
from infra.postgres.tenant_session import Bounds, tenant_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from infra.postgres.cluster import Cluster, Session
    from infra.postgres.tenant_session import TenantSession

SQL = statements(__file__)
# What opens no way out of the database: no foreign servers, no untrusted languages, no files.
ALLOWED = frozenset(
    {
        "btree_gin", "btree_gist", "citext", "cube", "dict_int", "earthdistance", "fuzzystrmatch", "hstore",
        "intarray", "isn", "ltree", "pg_stat_statements", "pg_trgm", "pgcrypto", "seg", "tablefunc", "tcn",
        "tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp", "vector",
    }
)  # fmt: skip
NOT_LISTED = "it is not on the list of what projects may have"
LACKING = "this server does not have it"
LIBRARY_MISSING = "this server lacks a library that it needs"
NOT_LOADED = "this server has not loaded it (shared_preload_libraries)"
OF_UNTRUSTED = "launchdb_extensions"
# What has been loaded once; a library does not go away, and one that is missing may come.
_LOADABLE: set[str] = set()
BOUNDS = Bounds(60, statement_seconds=60, lock_seconds=10, size=1_000_000, settings={"client_min_messages": "warning"})


# Given names of extensions, returns those whose library can be loaded.
Loads = Callable[[Sequence[str]], Iterable[str]]


@dataclass(frozen=True)
class Extension:
    """An extension as the server knows it.

    trusted   the database's owner may create it themselves
    required  by one that is not trusted, whose script looks into its schema
    loaded    where it has to be loaded at the server's start, that it was
    usable    its library can be loaded
    """

    name: str
    version: str | None
    trusted: bool
    loaded: bool
    installed: str | None = None
    schema: str | None = None
    required: bool = False
    usable: bool = True

    @property
    def reason(self) -> str | None:
        """Why it cannot be had, or None."""
        if self.name not in ALLOWED and not self.trusted:
            return NOT_LISTED
        lack = {LACKING: self.version is None, LIBRARY_MISSING: not self.usable, NOT_LOADED: not self.loaded}
        why = next((why for why, is_so in lack.items() if is_so), None)
        alternative = ALTERNATIVES.get(self.name)
        return f"{why}: {alternative}" if why and alternative else why


def available_extensions(cluster: Cluster, session: str, loads: Loads | None = None) -> dict[str, Extension]:
    """Return what projects may have, by name, with what this server lacks of the list. Raises Unavailable.

    Those are the extensions of the list, and the trusted ones: an owner may create these without asking anybody.

    loads  asks somebody who may try whether libraries load; None: the cluster's login is the administrator's
    """
    with cluster.session(session) as admin, admin.cursor(row_factory=class_row(Extension)) as cursor:
        found = {row.name: row for row in cursor.execute(SQL.offered, {"names": sorted(ALLOWED)})}
        if loads is None:
            usable = {name for name in found if _is_loadable(admin, name)}
    if loads is not None:
        asked = found.keys() - _LOADABLE
        _LOADABLE.update(loads(sorted(asked)) if asked else ())
        usable = found.keys() & _LOADABLE
    found = {name: replace(row, usable=name in usable) for name, row in found.items()}
    lacking = {name: Extension(name, None, trusted=False, loaded=True) for name in ALLOWED if name not in found}
    return dict(sorted({**lacking, **found}.items()))


def _is_loadable(admin: Session, name: str) -> bool:
    """Return whether a library of the extension's name can be loaded, or there is none of that name."""
    if name in _LOADABLE:
        return True
    try:
        admin.execute(SQL.load.format(library=sql.Literal(f"$libdir/{name}")))
    except psycopg.errors.UndefinedFile as error:
        # Of a file that is there and wants another that is not the server says so in words alone, the loader's own.
        if "shared object" in (error.diag.message_primary or ""):
            return False
    except psycopg.errors.Error as error:
        if is_transient(error):
            raise
    _LOADABLE.add(name)
    return True


def create_untrusted(admin: Session, name: str, *, alone: bool = False) -> None:
    """Create an extension as the administrator, in a schema of theirs: a tenant's things would be found by its script.

    alone  nobody of a tenant can be in the database: what is not in a schema yet will not come

    Raises Refused where a tenant has a schema of that name, has put something where the script looks, or could; and
    when the server refuses. Raises Unavailable.
    """
    with _refusing(), admin.transaction():
        admin.execute(SQL.schema_of_untrusted)
        if not is_administrators_schema(admin):
            raise Refused(f"{name}: schema {OF_UNTRUSTED}, in which it would lie, is not the administrator's")
        for schema, closed, stranger in admin.execute(SQL.schemas_of_script, {"name": name}).fetchall():
            if stranger:
                raise Refused(f"{name}: schema {schema} holds what belongs to no extension: {stranger}")
            if not (closed or (alone and schema != OF_UNTRUSTED)):
                raise Refused(f"{name}: others than the administrator may create in schema {schema}, where it looks")
        admin.execute(SQL.create_untrusted.format(name=sql.Identifier(name)))


def is_administrators_schema(session: psycopg.Connection[Any]) -> bool:
    """Return whether the schema for what is not trusted is the administrator's, or nobody's yet, where a session is."""
    row = session.execute(SQL.is_administrators).fetchone()
    return row is None or bool(row[0])


class Extensions:
    """Verbs on one project's extensions. `session` names the run; `look` may raise while the owner's session works."""

    def __init__(
        self,
        cluster: Cluster,
        database: str,
        uri: str,
        session: str,
        look: Callable[[], None] | None = None,
        *,
        loads: Loads | None = None,
    ) -> None:
        self._cluster, self._database, self._uri, self._session = cluster, database, uri, session
        self._look, self._loads = look, loads

    def list_extensions(self) -> list[Extension]:
        """Return what is on the list and what is installed besides. Raises Unavailable."""
        known = available_extensions(self._cluster, self._session, self._loads)
        with self._logged_in() as owner, owner.cursor(row_factory=class_row(Extension)) as cursor:
            found = {row.name: row for row in cursor.execute(SQL.installed)}
        return [row for _name, row in sorted({**known, **found}.items())]

    def ensure(self, name: str) -> Extension:
        """Install it unless it is installed; return it as it is then. Raises Refused, saying why, and Unavailable."""
        known = available_extensions(self._cluster, self._session, self._loads).get(name)
        reason = known.reason if known else NOT_LISTED
        if known is None or reason:
            raise Refused(f"{name}: {reason}")
        found = self._find(name)
        if found is None:
            as_owner = known.trusted and not known.required
            with self._as_fits(trusted=as_owner) as session, _refusing():
                if as_owner:
                    session.execute(SQL.create.format(name=sql.Identifier(name), schema=self._schema(session)))
                else:
                    create_untrusted(session, name)
            found = self._find(name)
        if found is None:
            raise Refused(f"{name} was not there after it had been created")
        return found

    def remove(self, name: str, *, cascade: bool) -> None:
        """Remove it. cascade: with everything that depends on it. Raises Refused, naming that; Unavailable."""
        found = self._find(name)
        if found is None:
            return
        if found.reason == NOT_LISTED:
            raise Refused(f"{name}: {NOT_LISTED}")
        with self._as_fits(trusted=found.trusted) as session, _refusing():
            statement = SQL.drop_cascade if cascade else SQL.drop
            session.execute(statement.format(name=sql.Identifier(name)))
        if self._find(name) is not None:
            raise Refused(f"{name} was still there after it had been dropped")

    def _find(self, name: str) -> Extension | None:
        """Return it as it is installed; trusted says here that it belongs to the project's owner."""
        with self._logged_in() as owner, owner.cursor(row_factory=class_row(Extension)) as cursor:
            return next((row for row in cursor.execute(SQL.installed) if row.name == name), None)

    def _schema(self, session: Session) -> sql.Identifier:
        row = session.execute(SQL.schema).fetchone()
        return sql.Identifier("extensions" if row and row[0] else "public")

    @contextmanager
    def _as_fits(self, *, trusted: bool) -> Iterator[Session]:
        # What the administrator creates lies in a schema that no tenant writes to: a script would find their things.
        with self._logged_in() if trusted else self._cluster.open_in_database(self._database, self._session) as session:
            yield session

    def _logged_in(self) -> AbstractContextManager[TenantSession]:
        return tenant_session(self._cluster, self._uri, self._session, BOUNDS, look=self._look)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.DependentObjectsStillExist as error:
        raise Refused(f"other things depend on it: {_lines(error.diag.message_detail)}") from error
    except psycopg.Error as error:
        if is_transient(error) or isinstance(error, psycopg.errors.QueryCanceled):
            raise
        raise Refused(f"the server refused: {error.diag.message_primary or error.sqlstate}") from error


def _lines(detail: str | None) -> str:
    return "; ".join((detail or "").splitlines())[:1000]
