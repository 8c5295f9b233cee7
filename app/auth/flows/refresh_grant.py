"""A new access token for a refresh token, which is replaced by another."""

from __future__ import annotations

from psycopg.errors import LockNotAvailable

from app.auth import audit, limits
from app.auth.errors import AuthError, validation_error
from app.auth.serve.call import AuthAnswer, AuthCall
from app.auth.sign_in import banned, session_of
from app.auth.store import refresh_tokens, signed_in
from app.auth.times import moment_of
from app.auth.user_json import whole_user
from infra.errors import Unavailable

TOKEN_MAX = 255
_WHY = {
    "unknown": ("refresh_token_not_found", "Refresh Token Not Found"),
    "sessionless": ("session_not_found", "No Valid Session Found"),
    "expired": ("session_expired", "Session Expired"),
    "inactive": ("session_expired", "Session Expired (Inactivity)"),
    "superseded": ("session_expired", "Session Expired (Revoked by Newer Login)"),
    "stolen": ("refresh_token_already_used", "Already Used"),
}


def refresh(call: AuthCall) -> AuthAnswer:
    """Answer the same session with new tokens; who comes with an old one ends it."""
    limits.count_request(call, "refresh")
    presented = call.text("refresh_token")
    if not presented:
        raise validation_error("refresh_token required")
    if len(presented) > TOKEN_MAX:
        raise _refused("unknown")
    rotation, found = _rotated(call, presented)
    if rotation.refresh_token is None:
        _note_theft(call, rotation)
        raise _refused(rotation.outcome)
    if found is None or found.session is None:  # signed out in this very moment
        raise _refused("unknown")
    return AuthAnswer(session_of(call, found.user, found.session, rotation.refresh_token, whole_user(found.user)))


def _rotated(call: AuthCall, presented: str) -> tuple[refresh_tokens.Rotation, signed_in.SignedIn | None]:
    try:
        return signed_in.rotate(call.project, presented, moment_of(call.services.clock()))
    except Unavailable as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise AuthError(
                409, "conflict", "Too many concurrent token refresh requests on the same session"
            ) from error
        raise


def _refused(outcome: refresh_tokens.Outcome) -> AuthError:
    if outcome == "banned":
        return banned(400)
    code, words = _WHY[outcome]
    return AuthError(400, code, f"Invalid Refresh Token: {words}")


def _note_theft(call: AuthCall, rotation: refresh_tokens.Rotation) -> None:
    if rotation.outcome != "stolen":
        return
    with call.project.transaction() as tx:
        found = signed_in.find(tx, rotation.user_id, None)
        audit.record(
            call, tx, "token_revoked", None if found is None else found.user, session_id=str(rotation.session_id)
        )
