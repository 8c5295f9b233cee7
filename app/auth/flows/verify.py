"""GET and POST /verify: the link of a letter is followed, or its code typed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from app.auth import limits, pkce, redirects
from app.auth.addresses import phone_of, valid_email
from app.auth.errors import AuthError, validation_error
from app.auth.mailing import proofs
from app.auth.mailing.writing import METHODS
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.sign_in import begin_session
from app.auth.store import flow_states

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from infra.postgres.database import Transaction

# Wrong codes for one address, from wherever they come: of a million codes they are nobody's way in.
CODES_PER_MINUTE = 10
Members = list[tuple[str, str]]
_ERRORS = {400: "invalid_request", 401: "unauthorized_client", 403: "access_denied"}


def follow(call: AuthCall) -> AuthAnswer:
    """Send whoever followed a link on to the application, with a session, an auth code, or the reason why not."""
    if call.method == "HEAD":  # programs that look through mail ask for it, and are not whom it is for
        return AuthAnswer(status=204)
    _count(call)
    proof = _linked(call)
    target = redirects.redirect_of(call)
    is_pkce = proof.token_hash.startswith(pkce.PREFIX)
    try:
        with call.project.transaction() as tx:
            query, fragment = _outcome(call, tx, proof, is_pkce=is_pkce, lost=not target)
    except AuthError as error:
        if not target:
            raise
        fragment = _members(error)
        query = fragment if is_pkce else []
    return _sent(target, query, fragment)


def _outcome(
    call: AuthCall, tx: Transaction, proof: proofs.Proof, *, is_pkce: bool, lost: bool
) -> tuple[Members, Members]:
    """Return what query and fragment say of a link that is good. lost: nobody would get a session."""
    user = proofs.show(call, tx, proof)
    if user is None:
        said = [("message", proofs.OTHER_HALF)]
        return said if is_pkce else [], said
    if is_pkce:
        return [("code", _auth_code(call, tx, user, proof.type))], []
    return [], [] if lost else _session(begin_session(call, tx, user, "otp"), proof.type)


def check(call: AuthCall) -> AuthAnswer:
    """Answer a Session for a typed code, or for what stands in a link."""
    _count(call)
    proof = _typed(call)
    if proof.code:
        name = hashlib.sha256(proof.email.encode()).hexdigest()
        limits.count_named(call, "code", CODES_PER_MINUTE, name)
    with call.project.transaction() as tx:
        user = proofs.show(call, tx, proof)
        if user is None:
            return AuthAnswer({"code": "200", "msg": proofs.OTHER_HALF})
        return AuthAnswer(begin_session(call, tx, user, "otp"))


def _linked(call: AuthCall) -> proofs.Proof:
    kind, token = call.query.get("type", ""), call.query.get("token") or call.query.get("token_hash", "")
    if not kind:
        raise validation_error("Verify requires a verification type")
    if not token:
        raise validation_error("Verify requires a token or a token hash")
    if kind not in proofs.TYPES:
        raise validation_error("Unsupported verification type")
    return proofs.Proof(kind, token_hash=token)


def _typed(call: AuthCall) -> proofs.Proof:
    kind, token, token_hash = (call.text(name) for name in ("type", "token", "token_hash"))
    if not kind:
        raise validation_error("Verify requires a verification type")
    if bool(token) == bool(token_hash):
        raise validation_error("Verify requires either a token or a token hash")
    if token_hash and any(call.text(name) for name in ("email", "phone", "redirect_to")):
        raise validation_error("Only the token_hash and type should be provided")
    email = _address(call) if token else ""
    if kind not in proofs.TYPES:
        raise validation_error("Unsupported verification type" if token else "Invalid email verification type")
    return proofs.Proof(kind, token_hash=token_hash, email=email, code=token)


def _address(call: AuthCall) -> str:
    email, phone = call.text("email"), call.text("phone")
    if bool(email) == bool(phone):
        raise validation_error("Only an email address or phone number should be provided on verify")
    if phone:  # nobody gets text messages
        phone_of(call)
        raise AuthError(403, "otp_expired", "Token has expired or is invalid")
    try:
        return valid_email(email)
    except AuthError as error:
        raise AuthError(422, "validation_failed", "Invalid email format") from error


def _auth_code(call: AuthCall, tx: Transaction, user: Mapping[str, Any], kind: str) -> str:
    code = flow_states.issue_code(tx, str(user["id"]), METHODS.get(kind, ""), now=call.services.clock())
    if code is None:
        raise AuthError(
            400, "flow_state_not_found", "No associated flow state found. No valid flow state found for user."
        )
    return code


def _session(session: Mapping[str, Any], kind: str) -> Members:
    names = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")
    return [*((name, str(session[name])) for name in names), ("type", kind)]


def _members(error: AuthError) -> Members:
    """Return what a redirect says of a refusal, as OAuth 2.0 has it."""
    word = _ERRORS.get(error.status)
    return [*([("error", word)] if word else []), ("error_code", error.code), ("error_description", error.message)]


def _sent(target: str, query: Members, fragment: Members) -> AuthAnswer:
    if not target:  # there is no site: what came of it is all there is to say
        return AuthAnswer({"code": "200", "msg": dict(fragment).get("message", "Confirmed. You may close this page.")})
    url = redirects.with_query(target, query) if query else target
    url = redirects.with_fragment(url, fragment) if fragment else url
    return AuthAnswer(status=303, headers=(("Location", redirects.header_of(url)),))


def _count(call: AuthCall) -> None:
    limits.count(call, "verify", call.project.settings.verify_rate_per_minute)


ROUTES = (AuthRoute("GET", "/verify", "open", follow), AuthRoute("POST", "/verify", "open", check))
