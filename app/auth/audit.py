"""Entries of a project's audit log: who did what to which user, from where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth.store import audit_log
from app.auth.times import moment_of, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction

# As the reference sorts what can happen.
_TYPES = {
    "login": "account",
    "logout": "account",
    "token_revoked": "token",
    "user_signedup": "team",
    "user_repeated_signup": "user",
    "user_modified": "user",
    "user_updated_password": "user",
    "user_deleted": "team",
    "user_invited": "team",
    "user_recovery_requested": "user",
    "user_confirmation_requested": "user",
    "user_reauthenticate_requested": "user",
    "factor_in_progress": "factor",
    "factor_unenrolled": "factor",
    "factor_updated": "factor",
    "factor_deleted": "factor",
    "challenge_created": "factor",
    "verification_attempted": "factor",
    "identity_unlinked": "user",
}
NOBODY = "00000000-0000-0000-0000-000000000000"


def record(call: AuthCall, tx: Transaction, action: str, user: Mapping[str, Any] | None, **traits: Any) -> None:
    """Write down what the caller does to a user. user: the row; None where nobody is known."""
    moment = moment_of(call.services.clock())
    who: dict[str, Any] = {"id": NOBODY, "email": "", "is_sso_user": False} if user is None else dict(user)
    if call.is_service:  # not them, but whoever holds the key
        traits = {"user_id": str(who["id"]), "user_email": who["email"] or "", **traits}
        who = {"id": NOBODY, "email": "service_role", "is_sso_user": False}
    payload = {
        "action": action,
        "actor_id": str(who["id"]),
        "actor_username": who["email"] or who.get("phone") or "",
        "actor_via_sso": who["is_sso_user"],
        "log_type": _TYPES.get(action, "user"),
        "timestamp": rfc3339(moment),
        **({"traits": traits} if traits else {}),
    }
    audit_log.record(tx, payload, moment, call.address)
