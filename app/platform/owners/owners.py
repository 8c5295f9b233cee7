"""Owners register, sign in and out. None of this takes an Idempotency-Key: tokens are never repeated."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app.http import auth
from app.http.answers import MeOut, OwnerOut, TokensOut
from app.http.models import Credentials, EmptyBody, NewOwner, RefreshToken
from app.http.problems import Problem
from app.http.routing import Call, Routes, ViewResponse
from app.platform.operations.health import NO_STORE
from app.platform.owners.accounts import record_in_audit, require_strong_password
from catalog import audit, failed_logins, one_time, owners, sessions
from infra.secrets import secretfiles, tokens
from jobs.engine.view import rfc3339

if TYPE_CHECKING:
    from catalog.owners import Owner
    from catalog.sessions import Session
    from infra.postgres.database import Transaction

routes = Routes("owners")


@routes.route(
    "POST", "/api/auth/register",
    who="anyone", limit="sign_in", action="owner.register", body=NewOwner, answers={201: OwnerOut},
)  # fmt: skip
def register(call: Call) -> ViewResponse:
    """Registers an owner, where the installation allows it: anybody, or who shows an invitation for this address.

    Who shows none is not told whether the address was known: nothing else is answered, and as much is done.
    """
    invitation = _invitation(call)
    require_strong_password(call.body.password, call.body.email, "/password")
    if invitation is not None:
        with call.world.infra.database.autocommit() as tx:
            one_time.require_valid(tx, "invitation", invitation, call.body.email)
    hashed = call.world.passwords.hash(call.body.password)
    with call.world.infra.database.transaction() as tx:
        try:
            owner = _registered(call, tx, hashed, invitation)
        except owners.EmailTaken:
            if invitation is not None:  # the address is theirs: this tells them nothing of another's
                raise
            owner = owners.imaginary(tx, email=call.body.email, name=call.body.name)
            refused: dict[str, Any] = {
                "outcome": "refused: email-taken",
                "address": call.address,
                "request_id": call.request_id,
            }
            audit.record(tx, audit.AuditEntry("anonymous", "owner.register", **refused))
    return ViewResponse(_shown(owner), 201, NO_STORE)


def _registered(call: Call, tx: Transaction, hashed: str, invitation: str | None) -> Owner:
    owner = owners.register(tx, email=call.body.email, name=call.body.name, password_hash=hashed)
    if invitation is not None:
        one_time.redeem(tx, "invitation", invitation)
    record_in_audit(call, tx, "owner.register", owner.id, invited=invitation is not None)
    return owner


def _invitation(call: Call) -> str | None:
    """Return the invitation that counts, if any. Raises RegistrationClosed."""
    mode = call.world.settings.registration
    given: str | None = call.body.invitation
    if mode == "closed":
        raise owners.RegistrationClosed("nobody can register here by themselves")
    if mode == "invite" and given is None:
        raise owners.RegistrationClosed("registering here takes an invitation")
    return given


@routes.route(
    "POST", "/api/auth/login",
    who="anyone", limit="sign_in", action="auth.login", body=Credentials, answers={200: TokensOut},
)  # fmt: skip
def login(call: Call) -> ViewResponse:
    """Exchanges e-mail address and password for an access token and a refresh token."""
    email = call.body.email.strip().lower()
    if "\0" in email:
        raise _wrong()
    with call.world.infra.database.autocommit() as tx:
        standing = failed_logins.login_delay(tx, email, call.address)
        owner = owners.by_email(tx, email)
    # From an address the owner is known at, the right password always counts, however often others were tried.
    if standing.wait_seconds and not standing.known:
        raise failed_logins.TooManyFailures(standing.wait_seconds)
    right = call.world.passwords.matches(call.body.password, owner.password_hash if owner else None)
    with call.world.infra.database.transaction() as tx:
        # The password may have been changed while it was compared: what the old one opens has ended then.
        if owner is not None and right and owners.password_hash(tx, owner.id) == owner.password_hash:
            failed_logins.record_success(tx, owner.id, email, call.address)
            session = sessions.start(tx, owner.id, seconds=_seconds(call), address=call.address)
            record_in_audit(call, tx, "auth.login", owner.id)
            return ViewResponse(_tokens(call, session), headers=NO_STORE)
        failed_logins.record_failure(tx, email, call.address)
    if standing.wait_seconds:
        raise failed_logins.TooManyFailures(standing.wait_seconds)
    raise _wrong()


@routes.route(
    "POST", "/api/auth/refresh",
    who="anyone", limit="sign_in", action="auth.refresh", body=RefreshToken, answers={200: TokensOut},
)  # fmt: skip
def refresh(call: Call) -> ViewResponse:
    """Exchanges a refresh token for the next pair; one that is used twice ends the sign-in."""
    with call.world.infra.database.transaction() as tx:
        session = sessions.refresh(tx, call.body.refresh_token, seconds=_seconds(call), address=call.address)
        if session is not None:
            record_in_audit(call, tx, "auth.refresh", session.owner_id)
    if session is None:
        call.world.callers.clear()  # the sign-in may have been revoked just now
        raise Problem(401, "unauthorized", "the refresh token is not valid", headers=auth.CHALLENGE)
    return ViewResponse(_tokens(call, session), headers=NO_STORE)


@routes.route("POST", "/api/auth/logout", who="owner", action="auth.logout", body=EmptyBody, answers={204: None})
def logout(call: Call) -> ViewResponse:
    """Ends the sign-in: its refresh token at once, its access token within a second in every process."""
    caller = call.caller
    if caller is not None and caller.session is not None:
        with call.world.infra.database.transaction() as tx:
            sessions.end(tx, caller.session)
            record_in_audit(call, tx, "auth.logout", caller.owner_id)
        call.world.callers.clear()
    return ViewResponse(None, 204)


@routes.get("/api/auth/me", who="owner", answers={200: MeOut})
def me(call: Call) -> ViewResponse:
    """Shows the owner who asks."""
    with call.world.infra.database.autocommit() as tx:
        owner = owners.find(tx, call.owner_id)
    if owner is None:
        raise Problem(401, "unauthorized", "the token is not valid", headers=auth.CHALLENGE)
    return ViewResponse({**_shown(owner), "isOperator": owner.is_operator})


def _shown(owner: Owner) -> dict[str, Any]:
    return {"id": owner.id, "email": owner.email, "name": owner.name, "createdAt": rfc3339(owner.created_at)}


def _tokens(call: Call, session: Session) -> dict[str, Any]:
    settings = call.world.settings
    key = secretfiles.current(settings.secrets_folder, auth.PLATFORM_KEY)
    seconds = settings.access_token_seconds
    token = tokens.access_token(session.owner_id, key, now=int(time.time()), seconds=seconds, session=session.id)
    return {
        "accessToken": token,
        "tokenType": "Bearer",
        "expiresIn": seconds,
        "refreshToken": session.refresh_token,
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": seconds,
    }


def _seconds(call: Call) -> int:
    return call.world.settings.refresh_token_seconds


def _wrong() -> Problem:
    return Problem(401, "wrong-credentials", "e-mail address or password is wrong", headers=auth.CHALLENGE)
