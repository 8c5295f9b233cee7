"""Wrong passwords slow the next try down, per account and address; they never lock anybody out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.owners import translate_missing_owner
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

SQL = statements(__file__)
FREE_TRIES = 10


class TooManyFailures(Exception):
    """This account was tried too often from this address; wait_seconds says how long to wait."""

    def __init__(self, wait_seconds: int) -> None:
        super().__init__("too many wrong passwords for this account from this address")
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class LoginDelay:
    """How often a sign-in failed. known: the account's owner has signed in from this address before."""

    wait_seconds: int
    known: bool


def login_delay(tx: Transaction, email: str, address: str) -> LoginDelay:
    """Return how long the next try from this address must wait; 0: not at all."""
    found = tx.one(LoginDelay, SQL.standing, {"email": email, "address": address, "free": FREE_TRIES})
    return found or LoginDelay(0, known=False)


def record_failure(tx: Transaction, email: str, address: str) -> None:
    """Count a wrong password. The count of an hour's rest is forgotten."""
    tx.execute(SQL.failed, {"email": email, "address": address})


def record_success(tx: Transaction, owner_id: str, email: str, address: str) -> None:
    """Forget the failures; remember the address as one of the owner's. Raises OwnerGone."""
    with translate_missing_owner():
        tx.execute(SQL.succeeded, {"owner": owner_id, "email": email, "address": address})
