"""When the platform is restored from a backup: what it has learnt since then and is still true is carried over.

A project that only the platform of before knows would be an orphan: its database serves, and nobody could delete it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from catalog import audit, names, sessions
from catalog import project_states as states
from infra.postgres.database import Transaction, connect, translate_errors
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.composition import Infra

SQL = statements(__file__)
LONGEST_NAME = 80
# What belongs to a project, and the column that says so; rows of later ones point to those of earlier ones.
TABLES = (
    ("project_settings", "project_id"),
    ("data_keys", "scope"),
    ("secrets", "scope"),
    ("resources", "project_id"),
    ("owner_migrations", "project_id"),
    ("kept_databases", "project_id"),
)


@contextmanager
def open_view(conninfo: str, session: str) -> Iterator[Transaction]:
    """Lend one view of a platform's database that is there. Raises Unavailable, Refused when it lets nobody in."""
    with translate_errors(), connect(conninfo, session, autocommit=False) as source:
        source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield Transaction(source)


def is_comparable(source: Transaction, target: Transaction) -> bool:
    """Return whether what is carried over means the same in both platforms.

    The target knows every version of the schema that the source does, and every column; its others fill themselves.
    """
    tables = {"tables": ["owners", "projects", *(table for table, _ in TABLES)]}
    versions = set(source.value(SQL.schema) or ()) - set(target.value(SQL.schema) or ())
    has = {row["told"] for row in source.rows(SQL.shape, tables)}
    wanted = {row["told"]: bool(row["optional"]) for row in target.rows(SQL.shape, tables)}
    return not versions and has <= set(wanted) and all(wanted[told] for told in set(wanted) - has)


def carry_over_owners(source: Transaction, target: Transaction) -> None:
    """Carry over how everybody signs in now: one who is new stays, and a password of before does not come back."""
    for row in source.rows(SQL.owners):
        known = target.value(SQL.owner, {"id": row["id"], "email": row["email"]})
        if known is None:
            _copy(source, target, "owners", "id", row["id"])
        elif target.value(SQL.keep_password, {"id": known, "hash": row["password_hash"]}) is not None:
            sessions.end_all(target, known)


def carry_over_projects(
    infra: Infra, source: Transaction, target: Transaction, tell: Callable[[str], None]
) -> list[str]:
    """Write into `target` each project that `source` alone knows and whose database is there; return their ids.

    Twice is once.
    """
    carried = []
    for row in source.rows(SQL.projects):
        project = str(row["id"])
        staging = ProjectStaging(infra.databases, names.roles(project), "launchdb-carry")
        if target.value(SQL.knows, {"id": project}) or not staging.exists(names.database(project)):
            continue
        _carry(source, target, row)
        carried.append(project)
        tell(f"{project} ({row['name']}) is not in the backup; it is carried over")
    return carried


def _carry(source: Transaction, target: Transaction, row: dict[str, Any]) -> None:
    owner = target.value(SQL.owner, {"id": row["owner_id"], "email": row["email"]})
    if owner is None:
        _copy(source, target, "owners", "id", row["owner_id"])
        owner = row["owner_id"]
    changed: dict[str, Any] = {"owner_id": owner, "name": _name(target, owner, row)}
    if row["status"] in states.MOVING:
        reason = f"it was {row['status']} when the platform was restored; delete it, or restore a backup of it"
        changed |= {"status": "failed", "status_reason": reason}
    _copy(source, target, "projects", "id", row["id"], **changed)
    for table, column in TABLES:
        _copy(source, target, table, column, row["id"])
    audit.record(target, audit.AuditEntry("operator", "project.carry", owner_id=owner, project_id=row["id"]))


def _name(target: Transaction, owner: str, row: dict[str, Any]) -> str:
    name = str(row["name"])
    if not target.value(SQL.is_taken, {"owner": owner, "name": name, **states.SETS}):
        return name
    tail = f"-{str(row['id']).removeprefix('proj_')[:4]}"
    return name[: LONGEST_NAME - len(tail)] + tail


def _copy(source: Transaction, target: Transaction, table: str, column: str, value: str, **changed: Any) -> None:
    columns = sql.SQL(", ").join(
        sql.Identifier(found["attname"]) for found in source.rows(SQL.columns, {"table": table})
    )
    rows = SQL.rows.format(table=sql.Identifier(table), column=sql.Identifier(column))
    write = SQL.write.format(table=sql.Identifier(table), columns=columns)
    for found in source.rows(rows, {"id": value}):
        target.execute(write, {"row": Jsonb({**found["to_jsonb"], **changed})})
