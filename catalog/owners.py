"""Owners: the people of this installation, known by e-mail address and password."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.ids import new_id
from infra.sql import statements

if TYPE_CHECKING:
    from datetime import datetime

    from infra.database import Transaction

SQL = statements(__file__)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 1024
_COMMON = Path(__file__).with_name("common_passwords.txt")


class EmailTaken(Exception):
    """An owner with this e-mail address exists."""


class WeakPassword(Exception):
    """The password is too short, too long or too common; the message says which."""


class RegistrationClosed(Exception):
    """This installation lets nobody register by himself."""


@dataclass(frozen=True)
class Owner:
    """A row of the table owners."""

    id: str
    email: str
    name: str
    is_operator: bool
    created_at: datetime
    updated_at: datetime
    password_hash: str = field(default="", repr=False)


def check_password(password: str, email: str) -> None:
    """Raise WeakPassword for one that is guessed first. Every character counts; nothing is cut."""
    if len(password) < SHORTEST_PASSWORD:
        raise WeakPassword(f"must have at least {SHORTEST_PASSWORD} characters")
    if len(password) > LONGEST_PASSWORD:
        raise WeakPassword(f"must have at most {LONGEST_PASSWORD} characters")
    if password.lower() in _common() or password.lower() in (email, email.partition("@")[0]):
        raise WeakPassword("is one of those that are tried first")


def register(tx: Transaction, *, email: str, name: str, password_hash: str) -> Owner:
    """Write an owner. Raises EmailTaken."""
    owner = tx.one(Owner, SQL.register, {"id": new_id("own"), "email": email, "name": name, "hash": password_hash})
    if owner is None:
        raise EmailTaken("an owner with this e-mail address exists")
    return owner


def by_email(tx: Transaction, email: str) -> Owner | None:
    """Return the owner with this address, in lower case, or None."""
    return tx.one(Owner, SQL.by_email, {"email": email})


def find(tx: Transaction, owner_id: str) -> Owner | None:
    """Return the owner, or None."""
    return tx.one(Owner, SQL.find, {"id": owner_id})


@cache
def _common() -> frozenset[str]:
    lines = _COMMON.read_text().splitlines()
    return frozenset(line.lower() for line in lines if not line.startswith("# "))
