"""The one door for mail: a letter is sealed into the outbox and its job written, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import outbox
from catalog.secrets import PLATFORM
from jobs.engine.enqueue import enqueue
from jobs.kinds.project.mail import SendMail

if TYPE_CHECKING:
    from infra.composition import Infra
    from infra.mail.mail import Email
    from infra.postgres.database import Transaction
    from jobs.engine.table import Job


class MailOff(Exception):
    """This installation sends no mail."""


@dataclass(frozen=True)
class SendOptions:
    """Who lets a letter be sent, and how. seconds: how long it is of use."""

    seconds: int
    by: str = "system"
    owner_id: str | None = None
    request_id: str | None = None
    scope: str = PLATFORM
    void: bool = False


def require_mail(infra: Infra) -> None:
    """Raise MailOff where no mail is sent."""
    if infra.mail is None:
        raise MailOff("this installation sends no mail: SMTP_HOST is not set")


def has_quota(tx: Transaction, infra: Infra, scope: str = PLATFORM) -> bool:
    """Return whether this scope may send another mail within the hour."""
    return outbox.wait_seconds(tx, scope, per_hour=infra.settings.mails_per_hour) == 0


def send_email(tx: Transaction, infra: Infra, letter: Email, how: SendOptions) -> Job:
    """Enqueue the email, which is sent once the transaction has committed; return the job.

    Raises MailOff, MailQuotaExceeded, and Refused for a malformed letter.
    """
    require_mail(infra)
    wait = 0 if how.void else outbox.wait_seconds(tx, how.scope, per_hour=infra.settings.mails_per_hour)
    if wait:
        raise outbox.MailQuotaExceeded(wait)
    outbox_id = outbox.put(tx, infra.vault, how.scope, letter, seconds=how.seconds, void=how.void)
    return enqueue(tx, SendMail(outbox_id), by=how.by, owner_id=how.owner_id, request_id=how.request_id)
