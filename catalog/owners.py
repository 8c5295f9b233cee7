"""Owners: the people of this installation, known by e-mail address and password."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from catalog import audit
from catalog.ids import is_id, new_id
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 1024
_COMMON = Path(__file__).with_name("common_passwords.txt")


class EmailTaken(Exception):
    """An owner with this e-mail address exists."""


class WeakPassword(Exception):
    """The password is too short, too long or too common; the message says which."""


class RegistrationClosed(Exception):
    """This installation lets nobody register by themselves."""


class OwnerNotFound(Exception):
    """There is no such owner."""


class OwnerGone(Exception):
    """The owner was deleted while they asked."""


class OwnsProjects(Exception):
    """An owner who has projects cannot be deleted."""


class LastOperator(Exception):
    """Without this owner nobody would be an operator."""


@dataclass(frozen=True)
class Owner:
    """A row of the table owners. max_projects: None for the installation's own quota, 0 for none."""

    id: str
    email: str
    name: str
    is_operator: bool
    created_at: datetime
    updated_at: datetime
    max_projects: int | None = None
    password_hash: str = field(default="", repr=False)


@dataclass(frozen=True)
class OwnerWithProjects(Owner):
    """An owner with the number of their projects."""

    projects: int = 0


def check_password(password: str, email: str) -> None:
    """Raise WeakPassword for one that is guessed first. Every character counts; nothing is cut."""
    if len(password) < SHORTEST_PASSWORD:
        raise WeakPassword(f"must have at least {SHORTEST_PASSWORD} characters")
    if len(password) > LONGEST_PASSWORD:
        raise WeakPassword(f"must have at most {LONGEST_PASSWORD} characters")
    if password.lower() in common_passwords() or password.lower() in (email, email.partition("@")[0]):
        raise WeakPassword("is one of those that are tried first")


def register(tx: Transaction, *, email: str, name: str, password_hash: str) -> Owner:
    """Write an owner. Raises EmailTaken."""
    owner = tx.one(Owner, SQL.register, {"id": new_id("own"), "email": email, "name": name, "hash": password_hash})
    if owner is None:
        raise EmailTaken("an owner with this e-mail address exists")
    return owner


def imaginary(tx: Transaction, *, email: str, name: str) -> Owner:
    """Return an owner like one just written, of whom nothing is kept: what a stranger is shown of a known address."""
    now = tx.value("SELECT now()")
    return Owner(new_id("own"), email, name, False, now, now)


def by_email(tx: Transaction, email: str) -> Owner | None:
    """Return the owner with this address, in lower case, or None."""
    return tx.one(Owner, SQL.by_email, {"email": email})


def find(tx: Transaction, owner_id: str) -> Owner | None:
    """Return the owner with the hash of their password, or None."""
    return tx.one(Owner, SQL.find, {"id": owner_id})


def find_with_projects(tx: Transaction, owner_id: str) -> OwnerWithProjects:
    """Return the owner as operators see them. Raises OwnerNotFound."""
    owner = tx.one(OwnerWithProjects, SQL.counted, {"id": owner_id}) if is_id("own", owner_id) else None
    if owner is None:
        raise OwnerNotFound("there is no such owner")
    return owner


def page(tx: Transaction, *, after: str | None, limit: int | None) -> list[OwnerWithProjects]:
    """Return owners as operators see them, oldest first, from the one after `after`; limit None: all of them."""
    return tx.all(OwnerWithProjects, SQL.page, {"after": after, "limit": limit})


def password_hash(tx: Transaction, owner_id: str, *, changing: bool = False) -> str | None:
    """Return the stored hash, which stays until the transaction ends; None when there is no such owner.

    changing: it is about to be changed, so nobody signs in meanwhile
    """
    stored: str | None = tx.value(SQL.lock if changing else SQL.hold, {"id": owner_id})
    return stored


def set_password(tx: Transaction, owner_id: str, password_hash: str) -> None:
    """Store another password for an owner whose row is locked."""
    tx.execute(SQL.set_password, {"id": owner_id, "hash": password_hash})


def set_quota(tx: Transaction, owner_id: str, max_projects: int | None) -> None:
    """Set how many projects the owner may have; 0: any number, None: what the installation says."""
    tx.execute(SQL.set_quota, {"id": owner_id, "quota": max_projects})


def set_operator(tx: Transaction, owner_id: str, *, wanted: bool) -> None:
    """Make the owner an operator, or no longer one. Raises LastOperator."""
    if not wanted:
        _refuse_last_operator(tx, owner_id)
    tx.execute(SQL.set_operator, {"id": owner_id, "wanted": wanted})


def promote(tx: Transaction, email: str, *, by: str) -> Owner:
    """Make the owner with this address an operator, and write that into the audit. Raises OwnerNotFound."""
    owner = by_email(tx, email)
    if owner is None:
        raise OwnerNotFound(f"there is no owner {email}")
    tx.execute(SQL.set_operator, {"id": owner.id, "wanted": True})
    audit.record(tx, audit.AuditEntry(actor=by, action="owner.promote", owner_id=owner.id))
    return owner


def delete(tx: Transaction, owner_id: str) -> None:
    """Forget the owner with their sign-ins and tokens; what the audit says of them stays.

    Raises OwnsProjects with their number, LastOperator, OwnerGone.
    """
    # The row is the lock: a project that is just being made waits, and then finds no owner.
    if tx.row(SQL.lock, {"id": owner_id}) is None:
        raise OwnerGone("the owner was deleted")
    count = tx.value(SQL.count_projects, {"id": owner_id})
    if count:
        raise OwnsProjects(f"the account still owns {count} project{'s' if count > 1 else ''}; delete them first")
    _refuse_last_operator(tx, owner_id)
    tx.execute(SQL.forget_deleted_projects, {"id": owner_id})
    tx.execute(SQL.delete, {"id": owner_id})


@contextmanager
def translate_missing_owner() -> Iterator[None]:
    """Translate the error of a write for an owner who was deleted meanwhile into OwnerGone."""
    try:
        yield
    except psycopg.errors.ForeignKeyViolation as error:
        raise OwnerGone("the owner was deleted") from error


def _refuse_last_operator(tx: Transaction, owner_id: str) -> None:
    # All operators' rows are locked: of two who leave at once, one sees that they are the last.
    operators = [row["id"] for row in tx.rows(SQL.lock_operators)]
    if operators == [owner_id]:
        raise LastOperator("nobody else is an operator; make another one first")


@cache
def common_passwords() -> frozenset[str]:
    """Return passwords that are tried first, in lower case."""
    lines = _COMMON.read_text().splitlines()
    return frozenset(line.lower() for line in lines if not line.startswith("# "))
