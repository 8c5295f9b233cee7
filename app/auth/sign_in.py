"""How somebody is signed in: the session that begins, the answer that carries it, and who a token names later on."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.auth import access_tokens
from app.auth.errors import AuthError
from app.auth.hooks import hooks
from app.auth.store import refresh_tokens, sessions, signed_in
from app.auth.times import moment_of
from app.auth.user_json import user_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction

NOBODY = UUID(int=0)
# Which identity it is that signs in, where the method says so.
_PROVIDERS = {"password": "email", "otp": "email"}


def begin_session(
    call: AuthCall,
    tx: Transaction,
    user_row: Mapping[str, Any],
    method: str = "password",
    aal: str = "aal1",
    *,
    provider: str | None = None,
) -> dict[str, Any]:
    """Begin a session of a user; return the Session that clients read.

    method    by which they proved who they are, as the claim `amr` says it
    provider  of the identity that signs in, where the method does not say it

    Raises AuthError (400) for banned users.
    """
    moment = moment_of(call.services.clock())
    ensure_not_banned(call, user_row, status=400)
    token = refresh_tokens.make_token()
    begun = sessions.begin(
        tx,
        user_row["id"],
        moment=moment,
        method=method,
        aal=aal,
        token=token,
        provider=_PROVIDERS.get(method, "") if provider is None else provider,
        user_agent=_storable(call.user_agent),
        ip=_ip(call.address),
    )
    if begun is None:
        raise banned(400)
    session = {
        "id": begun["session_id"],
        "aal": aal,
        "amr": [{"method": method, "timestamp": int(moment.timestamp())}],
    }
    return session_answer(call, tx, begun, session, token, method=method)


def session_answer(
    call: AuthCall,
    tx: Transaction,
    user_row: Mapping[str, Any],
    session: Mapping[str, Any],
    refresh_token: str,
    *,
    method: str = "token_refresh",
) -> dict[str, Any]:
    """Return the Session that clients read: a new access token beside a refresh token.

    session  a row as `store.sessions` gives it; of it id, aal and amr count
    method   for what the access token is made, as the hook for its claims is told
    """
    return session_of(call, user_row, session, refresh_token, user_json(tx, user_row), method=method, tx=tx)


def session_of(  # noqa: PLR0913 - what a session is made of
    call: AuthCall,
    user_row: Mapping[str, Any],
    session: Mapping[str, Any],
    refresh_token: str,
    shown: Mapping[str, Any],
    *,
    method: str = "token_refresh",
    tx: Transaction | None = None,
) -> dict[str, Any]:
    """Return what `session_answer` does, of a public User that has been read already. tx: None where none is open."""
    token, expires_at = signed(call, tx, user_row, session, method=method)
    return {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": call.project.settings.access_token_seconds,
        "expires_at": expires_at,
        "refresh_token": refresh_token,
        "user": shown,
    }


def signed(
    call: AuthCall, tx: Transaction | None, user_row: Mapping[str, Any], session: Mapping[str, Any], *, method: str
) -> tuple[str, int]:
    """Return an access token, and when it expires, in seconds of the epoch. Raises AuthError when a hook refuses."""
    claims = access_tokens.access_claims(
        call.project,
        user_row,
        session_id=str(session["id"]),
        aal=session["aal"] or "aal1",
        amr=session["amr"],
        now=int(call.services.clock()),
    )
    claims = hooks.custom_access_token(call, tx, user_row["id"], claims, method)
    return access_tokens.sign_access(call.project, claims), claims["exp"]


def current_user(call: AuthCall, tx: Transaction) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the rows of the user and the session that the caller's token names; None for a token without a session.

    Raises AuthError: 400 for a token that names nobody, 403 when user or session are gone, or the user is banned.
    """
    user_id, session_id = token_subject(call)
    return _present(call, signed_in.find(tx, user_id, session_id), session_id)


def read_current_user(call: AuthCall) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return what `current_user` does, for a caller who needs nothing else of the database: one round trip."""
    user_id, session_id = token_subject(call)
    return _present(call, signed_in.ask(call.project, user_id, session_id), session_id)


def _present(
    call: AuthCall, found: signed_in.SignedIn | None, session_id: UUID | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    if found is None or found.user["deleted_at"] is not None:
        raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
    ensure_not_banned(call, found.user, status=403)
    if session_id is None:
        return found.user, None
    session = found.session
    if session is None or _is_over(call, session):
        raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    return found.user, session


def _is_over(call: AuthCall, session: Mapping[str, Any]) -> bool:
    """Return whether a session is at its end, as refreshes of it find as well (`auth.rotate_refresh_token`)."""
    settings, moment = call.project.settings, moment_of(call.services.clock())
    ends = [session["not_after"]]
    if settings.session_seconds:
        ends.append(session["created_at"] + timedelta(seconds=settings.session_seconds))
    if settings.session_idle_seconds:
        used = session["refreshed_at"] or session["created_at"]
        ends.append(used + timedelta(seconds=settings.session_idle_seconds))
    is_past = any(end is not None and end <= moment for end in ends)
    return is_past or (settings.single_session and bool(session["is_superseded"]))


def token_subject(call: AuthCall) -> tuple[UUID, UUID | None]:
    """Return the ids of user and session that the caller's token names. Raises AuthError."""
    user_id = _uuid(call.claims.get("sub"))
    if user_id is None:
        raise AuthError(400, "bad_jwt", "invalid claim: sub claim must be a UUID")
    named = call.claims.get("session_id")
    if named in (None, ""):
        return user_id, None
    session_id = _uuid(named)
    if session_id is None:
        raise AuthError(403, "bad_jwt", "invalid claim: session_id claim must be a UUID")
    return user_id, None if session_id == NOBODY else session_id


def ensure_not_banned(call: AuthCall, user_row: Mapping[str, Any], *, status: int) -> None:
    """Raise AuthError (user_banned) while a user is banned. status: of HTTP, 400 at sign-in and 403 elsewhere."""
    until = user_row["banned_until"]
    if until is not None and until > moment_of(call.services.clock()):
        raise banned(status)


def banned(status: int) -> AuthError:
    """Return the refusal of a banned user."""
    return AuthError(status, "user_banned", "User is banned")


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _ip(address: str) -> str | None:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "")[:1000]
