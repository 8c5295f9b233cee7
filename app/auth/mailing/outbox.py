"""Letters on their way: sealed with the project's key into the platform's outbox, with the job that sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from app.auth.errors import AuthError
from catalog import outbox
from catalog.ids import new_id
from infra.errors import Refused, Unavailable
from infra.mail.mail import Email
from infra.postgres.sql import statements
from jobs.kinds.project.mail import SendMail

if TYPE_CHECKING:
    from app.auth.letters import RenderedLetter
    from app.auth.serve.counts import AuthCounts
    from app.auth.serve.project import AuthProject
    from infra.postgres.database import Database

SQL = statements(__file__)


class OutboxLetters:
    """Posts letters: one statement of the platform's database each, which is all that Auth's login can do there.

    database  the platform's
    counts    where letters are counted
    """

    def __init__(self, database: Database, counts: AuthCounts) -> None:
        self._database, self._counts = database, counts

    def send(self, project: AuthProject, letter: RenderedLetter) -> None:
        """Have the letter sent. Raises Unavailable when it cannot be kept, AuthError for what cannot be sent at all."""
        if not project.spec.takes_mail:
            raise AuthError(422, "email_provider_disabled", "This project sends no mail: no mail server is set for it")
        if not project.spec.mail_key:
            raise Unavailable("the project's key for letters is on its way")
        outbox_id = new_id("mail")
        try:
            email = Email(letter.to, letter.subject, letter.text, html=letter.html)
            sealed = outbox.seal_for_project(project.spec.mail_key, project.id, outbox_id, email)
        except Refused as error:
            raise AuthError(400, "email_address_invalid", f"This mail cannot be sent: {error}") from error
        self._post(project.id, outbox_id, sealed, letter)
        if not letter.void:
            self._counts.mailed(letter.about.kind)

    def _post(self, project_id: str, outbox_id: str, sealed: bytes, letter: RenderedLetter) -> None:
        declared = SendMail.kind  # type: ignore[attr-defined]
        values = {
            "id": outbox_id, "project": project_id, "sealed": sealed, "seconds": letter.seconds, "void": letter.void,
            "job": new_id("job"), "version": declared.version, "queue": declared.queue, "attempts": declared.attempts,
        }  # fmt: skip
        with self._database.autocommit() as tx:
            try:
                row = tx.row(SQL.post, values)
            except psycopg.errors.NoDataFound as error:
                raise Unavailable("the project is not there any more") from error
            if row is not None and row["ready"]:
                tx.ring(row["queue"], row["id"])
