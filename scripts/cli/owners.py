"""launchdb owners: who may use this installation. For whoever may read the home folder; there is no API for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from catalog.audit import Entry, record
from infra.sql import statements
from jobs.view import rfc3339
from scripts.cli.context import Session, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.output import emit, emit_json, json_option, table
from scripts.cli.target import open_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.database import Transaction

SQL = statements(__file__)


@click.group()
def owners() -> None:
    """Who may use this installation (for whoever may read LAUNCHDB_HOME)."""


@owners.command("list")
@json_option
@pass_session
def list_owners(session: Session, *, as_json: bool) -> None:
    """List all owners."""
    with _home(session) as tx:
        found = [_owner(row) for row in tx.rows(SQL.list)]
    if as_json:
        emit_json({"owners": found})
        return
    columns = ("id", "email", "name", "operator", "projects", "createdAt")
    emit(table(("id", "email", "name", "operator", "projects", "created"), ([o[c] for c in columns] for o in found)))


@owners.command()
@click.argument("email")
@json_option
@pass_session
def promote(session: Session, email: str, *, as_json: bool) -> None:
    """Make the owner with that EMAIL an operator."""
    email = email.strip().lower()
    with _home(session) as tx:
        owner_id = tx.value(SQL.promote, {"email": email})
        if owner_id is None:
            raise CliError(f"there is no owner {email}", NOT_FOUND)
        record(tx, Entry(actor="operator", action="owner.promote", owner_id=owner_id))
    if as_json:
        emit_json({"id": owner_id, "email": email, "operator": True})
        return
    emit([f"{email} is an operator"])


@contextmanager
def _home(session: Session) -> Iterator[Transaction]:
    infra = open_home(session.settings)
    try:
        with infra.database.transaction() as tx:
            yield tx
    finally:
        infra.close()


def _owner(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "email": row["email"],
        "name": row["name"],
        "operator": row["is_operator"],
        "projects": row["projects"],
        "createdAt": rfc3339(row["created_at"]),
    }
