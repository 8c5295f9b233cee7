"""The people of a project: rows of auth.users, as dicts by the names of its columns."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from app.auth.errors import AuthError
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.postgres.database import Transaction

SQL = statements(__file__)
AUDIENCE = "authenticated"
COLUMNS = tuple(name.strip().removeprefix("u.") for name in SQL.columns.as_string(None).split(","))


class Taken(Exception):
    """Somebody else has this address, number or id already; `constraint` is what says so."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"taken already ({constraint})")
        self.constraint = constraint


def find(tx: Transaction, user_id: object) -> dict[str, Any] | None:
    """Return the user of this id, or None."""
    return tx.row(_with_columns(SQL.find), {"id": user_id})


def lock(tx: Transaction, user_id: object) -> dict[str, Any] | None:
    """Return the user of this id, whom nobody else changes until the transaction ends, or None."""
    return tx.row(_with_columns(SQL.lock), {"id": user_id})


def find_by_email(tx: Transaction, email: str) -> dict[str, Any] | None:
    """Return the user with this address, in whatever case it is written, or None."""
    return tx.row(_with_columns(SQL.find_by_email), {"email": email.lower()})


def find_by_phone(tx: Transaction, phone: str) -> dict[str, Any] | None:
    """Return the user with this number, digits alone, or None."""
    return tx.row(_with_columns(SQL.find_by_phone), {"phone": phone})


def has_room(tx: Transaction, quota: int) -> bool:
    """Return whether fewer users exist than this; until the transaction ends nobody else is told so."""
    tx.execute(SQL.take_turn)
    return bool(tx.value(SQL.has_room, {"quota": quota}))


def create(tx: Transaction, **columns: Any) -> dict[str, Any]:
    """Create a user of these columns; return the row as it is then. Raises Taken."""
    given = {"aud": AUDIENCE, "role": AUDIENCE, **columns}
    query = SQL.create.format(
        names=sql.SQL(", ").join(map(sql.Identifier, given)),
        values=sql.SQL(", ").join(map(sql.Placeholder, given)),
        columns=SQL.columns,
    )
    return _written(tx, query, given)


def update(tx: Transaction, user_id: object, **columns: Any) -> dict[str, Any]:
    """Change these columns of a user; return the row as it is then. Raises Taken, AuthError for nobody."""
    changes: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in columns
    ]
    if "updated_at" not in columns:
        changes.append(sql.SQL("updated_at = pg_catalog.now()"))
    query = SQL.update.format(changes=sql.SQL(", ").join(changes), columns=SQL.columns)
    return _written(tx, query, {**columns, "id": user_id})


def replace_password(tx: Transaction, user_id: object, before: str, after: str) -> bool:
    """Replace a hash by another of the same password, unless it has changed meanwhile; say whether it was replaced."""
    return tx.execute(SQL.replace_password, {"id": user_id, "before": before, "after": after}) > 0


def delete(tx: Transaction, user_id: object) -> bool:
    """Delete a user with all that is theirs in the schema; say whether there was one."""
    return tx.execute(SQL.delete, {"id": user_id}) > 0


def delete_softly(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Ensure that of a user only the id is left: address and number are free again, sessions and identities gone.

    row  the user's
    """
    gone = {name: _scrambled(row, name) for name in ("email", "phone") if row[name]}
    tx.execute(SQL.empty, {"id": row["id"], "email": gone.get("email"), "phone": gone.get("phone")})
    for query in (SQL.end_sessions, SQL.forget_identities, SQL.forget_tokens):
        tx.execute(query, {"id": row["id"]})


def _scrambled(row: Mapping[str, Any], name: str) -> str:
    """Return what stands for an address or a number of a user who is gone: nobody else has it, and it says nothing."""
    return hashlib.sha256(f"{row['id']}{secrets.token_hex(16)}{row[name]}".encode()).hexdigest()


def _with_columns(query: sql.SQL) -> sql.Composed:
    return query.format(columns=SQL.columns)


def _written(tx: Transaction, query: sql.Composed, values: dict[str, Any]) -> dict[str, Any]:
    stored = {name: Jsonb(value) if isinstance(value, dict | list) else value for name, value in values.items()}
    try:
        row = tx.row(query, stored)
    except psycopg.errors.UniqueViolation as error:
        raise Taken(error.diag.constraint_name or "") from error
    if row is None:
        raise AuthError(404, "user_not_found", "User not found")
    return row
