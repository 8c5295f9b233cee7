"""The platform's own secrets: rotated by operators, shown to nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.http import waiting
from app.http.answers import AcceptedOut
from app.http.routing import Answer, Call, Routes
from app.platform.operations.models_operator import PlatformRotation
from app.platform.operations.schedules import fired
from catalog import owners
from config.logging import hide
from jobs.engine.enqueue import enqueue
from jobs.engine.view import job_json
from jobs.kinds.platform.rotate_platform_secret import RotatePlatformSecret
from jobs.projects import platform_secrets
from jobs.projects.platform_secrets import SMTP_PASSWORD, Chosen
from jobs.requests.mailing import MailOff

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

routes = Routes("platform_secrets")


@routes.change(
    "POST", "/api/admin/rotate", action="platform.rotate", who="operator", body=PlatformRotation, final=fired,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def rotate(call: Call, tx: Transaction) -> Answer:
    """Rotates a secret of the platform's own: no request fails, and the old one is good until its time is over."""
    secret = call.body.secret
    grace = platform_secrets.seconds_of_grace(secret, call.body.grace_seconds)
    chosen = _chosen(call, tx) if secret == SMTP_PASSWORD else ""
    job = enqueue(tx, RotatePlatformSecret(secret, grace, chosen), by=call.owner_id, request_id=call.request_id)
    told: dict[str, Any] = {"secret": secret, "graceSeconds": grace}
    return replace(waiting.accepted(job_json(tx, job)), told=told)


def _chosen(call: Call, tx: Transaction) -> str:
    """Seal the password that was sent for the job. Raises MailOff."""
    infra, password = call.world.infra, call.body.password.get_secret_value()
    hide(password)
    if infra.settings.mail != "smtp":
        raise MailOff("this installation sends no mail: SMTP_HOST is not set")
    to = call.body.to or owners.counted(tx, call.owner_id).email
    return platform_secrets.keep_chosen(tx, infra.vault, Chosen(password, to))
