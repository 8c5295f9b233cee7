"""project.mail: a letter from the outbox is taken by the mail server, once; twice only when its answer was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import outbox
from catalog.secrets import SecretMissing
from infra.errors import Refused, Unavailable
from infra.mail.mail import DeliveryInDoubt, to_message
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import Step, kind

if TYPE_CHECKING:
    from catalog.outbox import OutboxMail
    from infra.mail.mail import Email, MailTransport
    from infra.postgres.database import Transaction
    from jobs.engine.run import Run


def hand_over_mail(run: Run[SendMail]) -> None:
    """Hand the email to the server unless it has it. Raises GiveUp when its time is over."""
    with run.infra.database.autocommit() as tx:
        waiting = outbox.find(tx, run.args.outbox_id)
    if waiting is None:
        raise GiveUp("the mail is no longer in the outbox")
    run.result["mailId"] = waiting.id
    if waiting.state == "accepted":
        return
    if waiting.sealed is None or waiting.expired:
        with run.transaction() as tx:
            outbox.mark_expired(tx, waiting.id)
        raise GiveUp("the mail has expired")
    if not waiting.void:
        _hand_over(run, waiting)
    with run.transaction() as tx:
        outbox.mark_accepted(tx, waiting.id)


def _hand_over(run: Run[SendMail], waiting: OutboxMail) -> None:
    carrier = run.infra.mail
    if carrier is None:
        raise GiveUp("this installation sends no mail: SMTP_HOST is not set")
    if waiting.in_doubt >= outbox.MOST_DOUBTS:
        raise GiveUp("nobody knows whether the mail server took it: twice its answer was lost")
    with run.infra.database.autocommit() as tx:
        try:
            letter = outbox.open_email(tx, run.infra.vault, waiting)
        except SecretMissing:
            raise GiveUp("the project of this mail is gone") from None
    run.check()
    _deliver(run, waiting, letter, carrier)
    run.result["takenBy"] = carrier.name


def _deliver(run: Run[SendMail], waiting: OutboxMail, letter: Email, carrier: MailTransport) -> None:
    """Hand the letter over; what the server refused in so many words is not in doubt."""
    handed = False

    def handing() -> None:
        nonlocal handed
        with run.transaction() as tx:
            outbox.mark_handed_over(tx, waiting.id)
        handed = True

    sender = run.infra.settings.smtp_from
    try:
        carrier.deliver(
            to_message(letter, sender=sender, identity=waiting.id, at=waiting.created_at), letter.to, handing
        )
    except DeliveryInDoubt:
        raise
    except (Unavailable, Refused):
        if handed:
            with run.transaction() as tx:
                outbox.mark_not_delivered(tx, waiting.id)
        raise


def on_failed(args: SendMail, tx: Transaction, _reason: str) -> None:
    """Record in the outbox that the letter was given up."""
    outbox.mark_failed(tx, args.outbox_id)


def on_retry(args: SendMail, tx: Transaction) -> None:
    """Allow the letter to wait again. Raises JobConflict when it is no longer kept."""
    if not outbox.reopen(tx, args.outbox_id):
        raise JobConflict("the mail is no longer kept: it was taken, or has expired")


@kind(
    "project.mail",
    steps=(Step(hand_over_mail, title="Hand the mail over"),),
    attempts=12,
    on_failure="keep",
    max_running=4,
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class SendMail:
    """Hands an email from the outbox to the mail server."""

    outbox_id: str
