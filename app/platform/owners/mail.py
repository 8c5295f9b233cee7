"""Whether mail arrives: a trial letter, sent like every other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.http import waiting
from app.http.answers import AcceptedOut
from app.http.routing import Call, Routes, ViewResponse
from app.platform.owners import emails
from app.platform.owners.models_owners import TrialMail
from jobs.engine.view import job_json
from jobs.requests import mailing

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

routes = Routes("mail")
TRIAL_SECONDS = 600


@routes.change(
    "POST", "/api/admin/mail/test", action="mail.test", who="operator", body=TrialMail,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def test(call: Call, tx: Transaction) -> ViewResponse:
    """Sends a trial mail; the job says whether the server took it."""
    how = mailing.SendOptions(TRIAL_SECONDS, by=call.owner_id, owner_id=call.owner_id, request_id=call.request_id)
    letter = emails.trial_email(call.world.settings.base_url, call.body.to)
    job = mailing.send_email(tx, call.world.infra, letter, how)
    return waiting.accepted_response(job_json(tx, job))
