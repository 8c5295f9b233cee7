"""project.warn: the owner is written that the watchdog has ended sessions of a project, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import endings, outbox
from catalog.secrets import PLATFORM
from infra.mail.mail import Email
from jobs.engine.enqueue import enqueue
from jobs.engine.kind import Step, kind
from jobs.kinds.project.mail import SendMail

if TYPE_CHECKING:
    from catalog.endings import Letter
    from jobs.engine.run import Run

# What became of the sessions, where they were not ended.
DONE = {"cpu": "stepped back"}
OF_USE_SECONDS = 24 * 3600
# What an owner can do about each.
ADVICE = {
    "statement": "Make it faster, or raise statementSeconds in the project's settings. A migration that takes long is "
    "sent to the platform's API, with a time of its own.",
    "idle_transaction": "An application that has begun a transaction has to end it, also when it fails.",
    "locks": "Take fewer locks in one transaction; session locks (pg_advisory_lock) stay until they are given back.",
    "notify_queue": "Whoever listens has to end its transactions, and to read what it is sent.",
    "autovacuum": "Functions that an index, or statistics, of a table call have to be quick, for whoever calls them. "
    "Until they are, the tables of the project are not looked after.",
    "connections": "Keep fewer connections open: a pool for each application, or the pooler, is enough.",
    "memory": "Ask for less at a time: fewer rows, smaller values, no sum of them all in one value.",
    "cpu": "Its sessions go on, behind those of all others, until it uses less. Find the statements that take long by "
    "EXPLAIN ANALYZE: most often an index is missing.",
    "quota": "Delete what is not needed, or have the quota raised. Sessions begin read-only; one that deletes says "
    "SET default_transaction_read_only = off first, and VACUUM FULL afterwards gives the space back.",
}


def write_letter(run: Run[WarnOwner]) -> None:
    """Put the letter into the outbox, once; there is none where mail is off, or used up for the hour."""
    if run.infra.mail is None:
        run.result["letter"] = "this installation sends no mail"
        return
    with run.transaction() as tx:
        found = endings.claim_letter(tx, run.args.project_id, run.args.cause, run.job_id)
        if found is None or outbox.wait_seconds(tx, PLATFORM, per_hour=run.infra.settings.mails_per_hour):
            return
        letter = compose(found, run.args.project_id, run.args.cause, run.infra.settings.base_url)
        outbox_id = outbox.put(tx, run.infra.vault, PLATFORM, letter, seconds=OF_USE_SECONDS)
        run.result["mailId"] = outbox_id
        enqueue(tx, SendMail(outbox_id))


def compose(found: Letter, project: str, cause: str, base_url: str) -> Email:
    """Return the letter to an owner whose project went beyond a limit."""
    text = (
        f"Your project {found.project} ({project}) at {base_url} went beyond what it may:\n\n"
        f"  {found.reason}\n\n{ADVICE.get(cause, '')}\n\n"
        f"{found.ended} of its sessions have {DONE.get(cause, 'been ended')} for this so far. The project's audit has "
        "a line for each.\n"
        "You are written about it once an hour at most.\n"
    )
    return Email(found.email, f"{found.project} went beyond what it may", text, found.name)


@kind("project.warn", steps=(Step(write_letter),), lane=None, on_failure="keep", coalesces=True)
@dataclass(frozen=True)
class WarnOwner:
    """Writes to a project's owner that sessions of it were ended, and what to do about it."""

    project_id: str
    cause: str
