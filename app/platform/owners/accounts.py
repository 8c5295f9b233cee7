"""What owners do with their own account: another password, a forgotten one, their sign-ins, and leaving."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from app.http import paging
from app.http.models import EmptyBody, PageQuery
from app.http.problems import Problem, invalid
from app.http.routing import SIGN_IN, Call, Routes, ViewResponse
from app.platform.operations.health import NO_STORE
from app.platform.owners import emails
from app.platform.owners.answers_owners import ResetAskedOut, SessionsOut
from app.platform.owners.models_owners import PasswordChange, PasswordReset
from catalog import audit, failed_logins, one_time, owners, sessions
from jobs.engine.view import rfc3339
from jobs.requests import mailing

if TYPE_CHECKING:
    from catalog.sessions import SignIn
    from infra.postgres.database import Transaction

routes = Routes("accounts")
log = logging.getLogger(__name__)
ASKED = "if somebody has this address here, a link is on its way there"


@routes.route(
    "POST", "/api/auth/password",
    who="owner", scope=SIGN_IN, limit="sign_in", action="auth.password", body=PasswordChange, answers={204: None},
)  # fmt: skip
def change_password(call: Call) -> ViewResponse:
    """Changes the password; every other sign-in ends, personal access tokens stay."""
    with call.world.infra.database.autocommit() as tx:
        owner = owners.find(tx, call.owner_id)
        if owner is None:
            raise owners.OwnerGone("the owner was deleted")
        standing = failed_logins.login_delay(tx, owner.email, call.address)
    if standing.wait_seconds and not standing.known:
        raise failed_logins.TooManyFailures(standing.wait_seconds)
    require_strong_password(call.body.new, owner.email, "/new")
    right = call.world.passwords.matches(call.body.current, owner.password_hash)
    hashed = call.world.passwords.hash(call.body.new) if right else ""
    with call.world.infra.database.transaction() as tx:
        if right and owners.password_hash(tx, owner.id, changing=True) == owner.password_hash:
            _replace(tx, owner.id, hashed, but=call.caller.session if call.caller else None)
            record_in_audit(call, tx, "auth.password", owner.id)
        else:
            right = False
            failed_logins.record_failure(tx, owner.email, call.address)
    if not right:
        raise Problem(403, "wrong-credentials", "the current password is wrong")
    call.world.callers.clear()
    return ViewResponse(None, 204)


@routes.route(
    "POST", "/api/auth/password/reset",
    who="anyone", limit="sign_in", action="auth.reset", body=PasswordReset, answers={202: ResetAskedOut, 204: None},
)  # fmt: skip
def reset_password(call: Call) -> ViewResponse:
    """Mails a link for another password, if the address is known; or sets it by the link's token, once."""
    if call.body.token is None:
        return _asked(call, str(call.body.email))
    database = call.world.infra.database
    with database.autocommit() as tx:
        grant = one_time.peek(tx, "reset", call.body.token)
        owner = owners.find(tx, str(grant.owner_id))
    if owner is None:
        raise one_time.TokenSpent(one_time.SPENT)
    require_strong_password(call.body.new, owner.email, "/new")
    hashed = call.world.passwords.hash(call.body.new)
    with database.transaction() as tx:
        owners.password_hash(tx, owner.id, changing=True)
        one_time.redeem(tx, "reset", call.body.token)
        _replace(tx, owner.id, hashed, but=None)
        record_in_audit(call, tx, "auth.reset", owner.id)
    call.world.callers.clear()
    return ViewResponse(None, 204, NO_STORE)


@routes.route(
    "DELETE", "/api/auth/me",
    who="owner", scope=SIGN_IN, action="owner.delete", body=EmptyBody, answers={204: None},
)  # fmt: skip
def delete(call: Call) -> ViewResponse:
    """Deletes the account with its sign-ins and tokens, once it owns no project."""
    with call.world.infra.database.transaction() as tx:
        owners.delete(tx, call.owner_id)
        record_in_audit(call, tx, "owner.delete", call.owner_id)
    call.world.callers.clear()
    return ViewResponse(None, 204)


@routes.get("/api/auth/sessions", who="owner", query=PageQuery, answers={200: SessionsOut})
def list_sign_ins(call: Call) -> ViewResponse:
    """Lists the sign-ins that go on, newest first."""
    before = paging.decode_time_and_id(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        found = sessions.page(tx, call.owner_id, before=before, limit=call.query.limit + 1)
    current = call.caller.session if call.caller else None
    return ViewResponse(
        paging.page(
            "sessions",
            found,
            call.query.limit,
            show=lambda session: _shown(session, current),
            place=lambda session: paging.encode_cursor(session.started_at.isoformat(), session.id),
        )
    )


@routes.route(
    "DELETE", "/api/auth/sessions/<session_id>",
    who="owner", scope=SIGN_IN, action="auth.session_end", body=EmptyBody, answers={204: None},
)  # fmt: skip
def end(call: Call, session_id: str) -> ViewResponse:
    """Ends a sign-in: its refresh token at once, its access token within a second in every process."""
    with call.world.infra.database.transaction() as tx:
        sessions.end_one(tx, call.owner_id, session_id)
        record_in_audit(call, tx, "auth.session_end", call.owner_id, session_id=session_id)
    call.world.callers.clear()
    return ViewResponse(None, 204)


def _asked(call: Call, email: str) -> ViewResponse:
    """Ensure that a link is mailed.

    Whether the address is known changes neither what is answered nor what is written.
    """
    infra, settings = call.world.infra, call.world.settings
    mailing.require_mail(infra)
    with infra.database.transaction() as tx:
        owner = owners.by_email(tx, email)
        plenty, room = one_time.too_many_resets(tx, email), mailing.has_quota(tx, infra)
        if plenty or not room:
            log.warning("a link was not mailed", extra={"reason": "too many for one address" if plenty else "quota"})
            owner = None
        made = one_time.create_password_reset(tx, owner, email=email, by="anonymous")
        letter = emails.password_reset_email(settings.base_url, email, owner.name if owner else "", made.value)
        how = mailing.SendOptions(
            one_time.RESET_SECONDS, by="anonymous", request_id=call.request_id, void=owner is None
        )
        mailing.send_email(tx, infra, letter, how)
        entry = audit.AuditEntry("anonymous", "auth.reset_ask", address=call.address, request_id=call.request_id)
        audit.record(tx, audit.AuditEntry(**{**vars(entry), "owner_id": owner.id if owner else None}))
    return ViewResponse({"detail": ASKED}, 202, NO_STORE)


def require_strong_password(password: str, email: str, pointer: str) -> None:
    """Raise Problem (422) for a password that is guessed first."""
    try:
        owners.check_password(password, email)
    except owners.WeakPassword as error:
        raise invalid(pointer, str(error)) from error


def record_in_audit(call: Call, tx: Transaction, action: str, owner_id: str, **detail: Any) -> None:
    """Write who did this to an account into the audit: the owner themselves, or a token of theirs."""
    actor = call.caller.actor if call.caller else owner_id
    entry = audit.AuditEntry(actor, action, address=call.address, request_id=call.request_id, owner_id=owner_id)
    audit.record(tx, audit.AuditEntry(**{**vars(entry), "detail": detail}))


def _replace(tx: Transaction, owner_id: str, hashed: str, *, but: str | None) -> None:
    """Store another password; what the old one had opened ends."""
    owners.set_password(tx, owner_id, hashed)
    sessions.end_all(tx, owner_id, but=but)
    one_time.end_resets(tx, owner_id)


def _shown(session: SignIn, current: str | None) -> dict[str, Any]:
    return {
        "id": session.id,
        "createdAt": rfc3339(session.started_at),
        "lastUsedAt": rfc3339(session.used_at),
        "expiresAt": rfc3339(session.expires_at),
        "address": session.address,
        "current": session.id == current,
    }
