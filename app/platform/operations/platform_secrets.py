"""The platform's own secrets: rotated by operators, shown to nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.http import waiting
from app.http.answers import AcceptedOut
from app.http.routing import Call, Routes, ViewResponse
from app.platform.operations.models_operator import PlatformRotation
from app.platform.operations.schedules import run_response
from catalog import owners
from config.logging import hide_values
from jobs.engine.enqueue import enqueue
from jobs.engine.view import job_json
from jobs.kinds.platform.rotate_platform_secret import RotatePlatformSecret
from jobs.projects import platform_secrets
from jobs.projects.platform_secrets import SMTP_PASSWORD, ChosenPassword
from jobs.requests.mailing import MailOff

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

routes = Routes("platform_secrets")


@routes.change(
    "POST", "/api/admin/rotate", action="platform.rotate", who="operator", body=PlatformRotation, final=run_response,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def rotate_platform_secret(call: Call, tx: Transaction) -> ViewResponse:
    """Rotates a secret of the platform's own: no request fails, and the old one is good until its time is over."""
    secret = call.body.secret
    grace = platform_secrets.seconds_of_grace(secret, call.body.grace_seconds)
    chosen = _chosen(call, tx) if secret == SMTP_PASSWORD else ""
    job = enqueue(tx, RotatePlatformSecret(secret, grace, chosen), by=call.owner_id, request_id=call.request_id)
    told: dict[str, Any] = {"secret": secret, "graceSeconds": grace}
    return replace(waiting.accepted_response(job_json(tx, job)), told=told)


def _chosen(call: Call, tx: Transaction) -> str:
    """Seal the password that was sent for the job. Raises MailOff."""
    infra, password = call.world.infra, call.body.password.get_secret_value()
    hide_values(password)
    if infra.settings.mail != "smtp":
        raise MailOff("this installation sends no mail: SMTP_HOST is not set")
    to = call.body.to or owners.find_with_projects(tx, call.owner_id).email
    return platform_secrets.keep_chosen(tx, infra.vault, ChosenPassword(password, to))
