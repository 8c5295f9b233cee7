"""Levels of assurance: what a session may do, and how it comes to the second level."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.auth import audit
from app.auth.errors import AuthError
from app.auth.sign_in import current_user, session_answer
from app.auth.store import factors, refresh_tokens, sessions, signed_in
from app.auth.times import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction

SECOND = "aal2"


def permanent_user(call: AuthCall, tx: Transaction) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of user and session of somebody who is not anonymous. Raises AuthError."""
    user, session = current_user(call, tx)
    if user["is_anonymous"]:
        raise AuthError(403, "no_authorization", "Anonymous user not allowed to perform these actions")
    if session is None:
        raise AuthError(403, "session_not_found", "The token names no session")
    return user, session


def ensure_second(user: Mapping[str, Any], session: Mapping[str, Any] | None, *, status: int, message: str) -> None:
    """Raise AuthError (insufficient_aal) for a session of the first level whose user has a verified factor.

    user  the row as `store.signed_in` reads it, with its factors
    """
    verified = any(factor["status"] == "verified" for factor in user["factors"])
    if verified and (session is None or session["aal"] != SECOND):
        raise AuthError(status, "insufficient_aal", message)


def raised_session(
    call: AuthCall, tx: Transaction, user: Mapping[str, Any], session: Mapping[str, Any], factor: Mapping[str, Any]
) -> dict[str, Any]:
    """Raise the session to the second level by a factor that was just proven; return the Session that clients read.

    It is the same session with new tokens; the user's sessions of the first level end.
    """
    moment = moment_of(call.services.clock())
    method = "totp" if factor["factor_type"] == "totp" else f"mfa/{factor['factor_type']}"
    sessions.add_method(tx, session["id"], method, moment)
    factors.raise_session(tx, user["id"], session["id"], factor["id"], moment)
    chosen = call.project.settings
    rotation = refresh_tokens.rotate(
        tx,
        refresh_tokens.live(tx, session["id"]) or "",
        moment,
        reuse=timedelta(seconds=chosen.refresh_reuse_seconds),
        lives=timedelta(seconds=chosen.refresh_token_seconds),
    )
    if rotation.refresh_token is None:
        raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    audit.record(call, tx, "verification_attempted", user, factor_id=str(factor["id"]), factor_type=method)
    found = signed_in.find(tx, user["id"], session["id"])
    if found is None or found.session is None:  # signed out in this very moment
        raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    return session_answer(call, tx, found.user, found.session, rotation.refresh_token)


def factor_id_of(text: str) -> UUID:
    """Return the id that a path names. Raises AuthError (404)."""
    try:
        return UUID(text)
    except ValueError as error:
        raise AuthError(404, "validation_failed", "factor_id must be an UUID") from error


def not_found() -> AuthError:
    """Return the refusal of a factor that there is not, or that is somebody else's."""
    return AuthError(404, "mfa_factor_not_found", "Factor not found")


def name_conflict(name: str) -> AuthError:
    """Return the refusal of a second factor of one name."""
    message = f"A factor with the friendly name {name!r} for this user already exists"
    return AuthError(422, "mfa_factor_name_conflict", message)
