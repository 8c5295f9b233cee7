"""The outbox: letters that wait, sealed, until a server has taken them or they have expired."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catalog import names, secrets
from catalog.ids import new_id
from infra.errors import Refused
from infra.mail.mail import Email, check_email
from infra.postgres.sql import statements
from infra.secrets.vault import open_by, seal_by

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault

SQL = statements(__file__)
# Handed over so often without an answer, a letter is not sent again: its reader gets two copies at most.
MOST_DOUBTS = 2


class MailQuotaExceeded(Exception):
    """As many mails were sent for this scope within the hour as may; wait_seconds says how long to wait."""

    def __init__(self, wait_seconds: int) -> None:
        super().__init__("as many mails were sent within the hour as may be (MAILS_PER_HOUR)")
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class OutboxMail:
    """A row of the outbox. expired: its time is over; sealed: None once nothing is left to send.

    sealed_by  `vault`, or `mail_key`: the secret of that name of the project that the scope names
    """

    id: str
    scope: str
    void: bool
    state: str
    in_doubt: int
    expired: bool
    created_at: datetime
    sealed_by: str
    sealed: bytes | None = field(repr=False)


def put(tx: Transaction, vault: Vault, scope: str, letter: Email, *, seconds: int, void: bool = False) -> str:
    """Seal a letter into the outbox; return its id. Raises Refused for a malformed one.

    scope    an existing project's id, or 'platform'
    seconds  how long it is of use
    void     it goes nowhere: written so that the same happens for those who get one and those who do not
    """
    check_email(letter)
    outbox_id = new_id("mail")
    sealed = secrets.seal(tx, vault, scope, outbox_id, json.dumps(vars(letter)))
    values = {"id": outbox_id, "scope": scope, "sealed": sealed, "seconds": seconds, "void": void}
    tx.execute(SQL.put, values)
    return outbox_id


def wait_seconds(tx: Transaction, scope: str, *, per_hour: int) -> int:
    """Return how long this scope must wait before its next mail, 0: not at all. Whoever asks at once takes turns."""
    tx.execute(SQL.lock_scope, {"scope": scope})
    return int(tx.value(SQL.wait_seconds, {"scope": scope, "most": per_hour}) or 0)


def find(tx: Transaction, outbox_id: str) -> OutboxMail | None:
    """Return a row, or None."""
    return tx.one(OutboxMail, SQL.find, {"id": outbox_id})


def open_email(tx: Transaction, vault: Vault, waiting: OutboxMail) -> Email:
    """Open the letter. Raises Refused, and SecretMissing once its project is gone."""
    if waiting.sealed_by == names.MAIL_KEY:
        opened = _open_by_any(secrets.valid(tx, vault, waiting.scope, names.MAIL_KEY), waiting)
    else:
        opened = secrets.unseal(tx, vault, waiting.scope, waiting.id, waiting.sealed or b"")
    return Email(**json.loads(opened))


def _open_by_any(keys: list[str], waiting: OutboxMail) -> str:
    """Open it by the project's key, or by that of before: it may have waited since then."""
    if not keys:
        raise secrets.SecretMissing(f"{waiting.scope} has no secret {names.MAIL_KEY}")
    for number, key in enumerate(keys, 1):
        try:
            return open_by(key, _bound(waiting.scope, waiting.id), waiting.sealed or b"").decode()
        except Refused:
            if number == len(keys):
                raise
    raise AssertionError(keys)


def seal_for_project(mail_key: str, project_id: str, outbox_id: str, letter: Email) -> bytes:
    """Seal a letter by a project's own key: it opens in this row alone. Raises Refused for a malformed one."""
    check_email(letter)
    return seal_by(mail_key, _bound(project_id, outbox_id), json.dumps(vars(letter)).encode())


def _bound(project_id: str, outbox_id: str) -> bytes:
    return f"launchdb letter {project_id} {outbox_id}".encode()


def mark_handed_over(tx: Transaction, outbox_id: str) -> None:
    """Note, before it is handed over, that the server may have the letter."""
    tx.execute(SQL.hand, {"id": outbox_id})


def mark_not_delivered(tx: Transaction, outbox_id: str) -> None:
    """Note that the server said no: it does not have it."""
    tx.execute(SQL.take_back, {"id": outbox_id})


def mark_accepted(tx: Transaction, outbox_id: str) -> None:
    """Note that the server took it, and forget what it said."""
    tx.execute(SQL.close, {"id": outbox_id, "state": "accepted"})


def mark_expired(tx: Transaction, outbox_id: str) -> None:
    """Note that its time is over, and forget what it said."""
    tx.execute(SQL.close, {"id": outbox_id, "state": "expired"})


def mark_failed(tx: Transaction, outbox_id: str) -> None:
    """Note that it was given up; it can be tried again until it expires."""
    tx.execute(SQL.fail, {"id": outbox_id})


def reopen(tx: Transaction, outbox_id: str) -> bool:
    """Put an email back among those that wait; False when there is nothing left to send."""
    return tx.execute(SQL.begin_again, {"id": outbox_id}) == 1
