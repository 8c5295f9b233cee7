"""How somebody is signed in: the session that begins, the answer that carries it, and who a token names later on."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.auth import access_tokens
from app.auth.errors import AuthError
from app.auth.store import refresh_tokens, sessions, signed_in
from app.auth.times import moment_of
from app.auth.user_json import user_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    return session_answer(call, tx, begun, session, token)


def session_answer(
    call: AuthCall, tx: Transaction, user_row: Mapping[str, Any], session: Mapping[str, Any], refresh_token: str
) -> dict[str, Any]:
    """Return the Session that clients read: a new access token beside a refresh token.

    session  a row as `store.sessions` gives it; of it id, aal and amr count
    """
    return session_of(call, user_row, session, refresh_token, user_json(tx, user_row))


def session_of(
    call: AuthCall,
    user_row: Mapping[str, Any],
    session: Mapping[str, Any],
    refresh_token: str,
    shown: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what `session_answer` does, of a public User that has been read already."""
    token, expires_at = signed(call, user_row, session["id"], session["aal"] or "aal1", session["amr"])
    return {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": call.project.settings.access_token_seconds,
        "expires_at": expires_at,
        "refresh_token": refresh_token,
        "user": shown,
    }


def signed(
    call: AuthCall, user_row: Mapping[str, Any], session_id: object, aal: str, amr: Sequence[Mapping[str, Any]]
) -> tuple[str, int]:
    """Return an access token, and when it expires, in seconds of the epoch."""
    now = int(call.services.clock())
    claims = access_tokens.access_claims(call.project, user_row, session_id=str(session_id), aal=aal, amr=amr, now=now)
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
    if session is None or (session["not_after"] and session["not_after"] <= moment_of(call.services.clock())):
        raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    return found.user, session


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
