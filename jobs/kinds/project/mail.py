"""project.mail: a letter from the outbox is taken by the mail server, once; twice only when its answer was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import outbox
from catalog.secrets import PLATFORM, SecretMissing
from infra.errors import Refused, Unavailable
from infra.mail.mail import DeliveryInDoubt, to_message
from jobs.engine.commands import JobConflict
from jobs.engine.errors import GiveUp
from jobs.engine.kind import Step, kind
from jobs.projects.project_mail import ProjectPost, project_post

if TYPE_CHECKING:
    from catalog.outbox import OutboxMail
    from infra.composition import Infra
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
    with run.infra.database.autocommit() as tx:
        post = _post(run.infra, tx, waiting)
    if post.carrier is None:
        raise GiveUp("this installation sends no mail: SMTP_HOST is not set")
    if waiting.in_doubt >= outbox.MOST_DOUBTS:
        raise GiveUp("nobody knows whether the mail server took it: twice its answer was lost")
    with run.infra.database.autocommit() as tx:
        try:
            letter = outbox.open_email(tx, run.infra.vault, waiting)
        except SecretMissing:
            raise GiveUp("the project of this mail is gone") from None
    run.check()
    _deliver(run, waiting, letter, post, post.carrier)
    run.result["takenBy"] = post.carrier.name


def _post(infra: Infra, tx: Transaction, waiting: OutboxMail) -> ProjectPost:
    if waiting.scope == PLATFORM:
        return ProjectPost(infra.mail, infra.settings.smtp_from)
    return project_post(tx, infra, waiting.scope)


def _deliver(run: Run[SendMail], waiting: OutboxMail, letter: Email, post: ProjectPost, carrier: MailTransport) -> None:
    """Hand the letter over; what the server refused in so many words is not in doubt."""
    handed = False

    def handing() -> None:
        nonlocal handed
        with run.transaction() as tx:
            outbox.mark_handed_over(tx, waiting.id)
        handed = True

    message = to_message(
        letter, sender=post.sender, sender_name=post.sender_name, identity=waiting.id, at=waiting.created_at
    )
    try:
        carrier.deliver(message, letter.to, handing)
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
    lane="mail",
    attempts=12,
    on_failure="keep",
    # Of one project one at a time: a server of a tenant's that drips its answers holds up no letter but their own.
    max_running=8,
    preempts=True,
    failed=on_failed,
    retried=on_retry,
)
@dataclass(frozen=True)
class SendMail:
    """Hands an email from the outbox to the mail server. project_id: whose letter it is; None: the platform's."""

    outbox_id: str
    project_id: str | None = None
