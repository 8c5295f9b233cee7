"""/factors: a second factor is enrolled, challenged, verified and given up by the user it belongs to."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from app.auth import audit, limits
from app.auth.errors import AuthError, validation_error
from app.auth.hooks import hooks
from app.auth.mfa import ceremonies, levels, parties, totp
from app.auth.mfa.ceremonies import CeremonyFailed, Credential, RelyingParty
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.store import factors, users
from app.auth.times import moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from infra.postgres.database import Transaction

CHALLENGE = timedelta(seconds=ceremonies.CHALLENGE_SECONDS)
# What was begun and never finished is in nobody's way after so long.
UNVERIFIED = timedelta(seconds=300)
KINDS = {"totp": "TOTP", "phone": "Phone", "webauthn": "WebAuthn"}
NAME_MAX = 200


def enroll(call: AuthCall) -> AuthAnswer:
    """Begin a factor, which is one once it was verified."""
    kind, name, issuer = call.text("factor_type"), call.text("friendly_name"), call.text("issuer")
    with call.project.transaction() as tx:
        user, session = levels.permanent_user(call, tx)
        _ensure_kind(call, kind, "enroll")
        if len(name) > NAME_MAX or len(issuer) > NAME_MAX:
            raise validation_error(f"friendly_name and issuer have at most {NAME_MAX} characters")
        users.lock(tx, user["id"])  # two that enroll at once are counted one after the other
        moment = moment_of(call.services.clock())
        factors.forget_unverified(tx, user["id"], moment - UNVERIFIED)
        if factors.count(tx, user["id"]) >= call.project.settings.mfa_factors_max:
            raise AuthError(
                422,
                "too_many_enrolled_mfa_factors",
                "Maximum number of verified factors reached, unenroll to continue",
            )
        message = "AAL2 required to enroll a new factor"
        levels.ensure_second(user, session, status=403, message=message)
        setup = totp.make_setup(_account(user), issuer or _issuer(call)) if kind == "totp" else None
        try:
            factor = factors.create(tx, user["id"], kind, name, setup.secret if setup else None, moment)
        except users.Taken as error:
            raise levels.name_conflict(name) from error
        audit.record(call, tx, "factor_in_progress", user, factor_id=str(factor["id"]), factor_type=kind)
        shown: dict[str, Any] = {"id": str(factor["id"]), "type": kind, "friendly_name": name}
        if setup is not None:
            shown["totp"] = {"qr_code": setup.qr_code, "secret": setup.secret, "uri": setup.uri}
        return AuthAnswer(shown)


def challenge(call: AuthCall) -> AuthAnswer:
    """Challenge a factor, so that it can be verified."""
    limits.count(call, "mfa_challenge", call.project.settings.mfa_rate_per_minute)
    with call.project.transaction() as tx:
        user, _ = levels.permanent_user(call, tx)
        factor = _found(call, tx, user)
        _ensure_kind(call, factor["factor_type"], "verify")
        moment = moment_of(call.services.clock())
        factors.forget_challenges(tx, factor["id"], moment - CHALLENGE)
        asked, kept = _asked_of_authenticator(call, user, factor) if factor["factor_type"] == "webauthn" else ({}, None)
        made = factors.challenge(tx, factor["id"], moment, _address(call), kept)
        audit.record(call, tx, "challenge_created", user, factor_id=str(factor["id"]), factor_status=factor["status"])
        expires = int((moment + CHALLENGE).timestamp())
        return AuthAnswer({"id": str(made), "type": factor["factor_type"], "expires_at": expires, **asked})


def verify(call: AuthCall) -> AuthAnswer:
    """Verify a factor by an answer to its challenge: the session is of the second level from then on."""
    limits.count(call, "mfa_verify", call.project.settings.mfa_rate_per_minute)
    with call.project.autocommit() as tx:
        user, _ = levels.permanent_user(call, tx)
        factor = _found(call, tx, user)
        _count_attempt(call, factor)
        _ensure_kind(call, factor["factor_type"], "verify")
        found = _open_challenge(call, tx, factor, moment_of(call.services.clock()))
    prove = _proven_credential if factor["factor_type"] == "webauthn" else _proven_step
    try:
        proof = prove(call, factor, found)
    except AuthError:
        hooks.mfa_verification(call, user["id"], factor, valid=False)
        raise
    hooks.mfa_verification(call, user["id"], factor, valid=True)
    with call.project.transaction() as tx:
        return AuthAnswer(_verified(call, tx, found, proof))


def _verified(call: AuthCall, tx: Transaction, found: dict[str, Any], proof: int | Credential) -> dict[str, Any]:
    """Write down that the factor was proven; return the Session that clients read. Of two that come at once, one is."""
    user, session = levels.permanent_user(call, tx)
    factor, moment = _found(call, tx, user, lock=True), moment_of(call.services.clock())
    if not factors.close_challenge(tx, found["id"], moment):
        raise _answered_elsewhere()
    if isinstance(proof, Credential):
        factors.verify(tx, factor["id"], moment, credential=proof.to_json(), aaguid=proof.aaguid)
    elif factors.take_code(tx, factor["id"], proof):
        factors.verify(tx, factor["id"], moment)
    else:
        raise _wrong_code()
    factors.forget_unverified(tx, user["id"], moment + UNVERIFIED)
    return levels.raised_session(call, tx, user, session, factor)


def unenroll(call: AuthCall) -> AuthAnswer:
    """Give up a factor. One that was verified takes a session of the second level."""
    with call.project.transaction() as tx:
        user, session = levels.permanent_user(call, tx)
        factor = _found(call, tx, user, lock=True)
        if factor["status"] == "verified" and session["aal"] != levels.SECOND:
            raise AuthError(422, "insufficient_aal", "AAL2 required to unenroll verified factor")
        factors.delete(tx, factor["id"], moment_of(call.services.clock()))
        audit.record(call, tx, "factor_unenrolled", user, factor_id=str(factor["id"]), factor_status=factor["status"])
        return AuthAnswer({"id": str(factor["id"])})


def _found(call: AuthCall, tx: Transaction, user: dict[str, Any], *, lock: bool = False) -> dict[str, Any]:
    found = factors.find(tx, user["id"], levels.factor_id_of(call.path["factor_id"]), lock=lock)
    if found is None:
        raise levels.not_found()
    return found


def _ensure_kind(call: AuthCall, kind: str, act: str) -> None:
    """Raise AuthError unless the project lets people enroll, or verify, a factor of this kind."""
    if kind not in KINDS:
        raise validation_error("factor_type needs to be totp, phone, or webauthn")
    chosen = call.project.settings
    allowed = {
        ("totp", "enroll"): chosen.mfa_totp_enroll,
        ("totp", "verify"): chosen.mfa_totp_verify,
        ("webauthn", "enroll"): chosen.mfa_webauthn_enroll,
        ("webauthn", "verify"): chosen.mfa_webauthn_verify,
    }
    if not allowed.get((kind, act), False):
        said = "enroll" if act == "enroll" else "verification"
        raise AuthError(422, f"mfa_{kind}_{act}_not_enabled", f"MFA {said} is disabled for {KINDS[kind]}")


def _count_attempt(call: AuthCall, factor: dict[str, Any]) -> None:
    """Count an attempt at one factor, from whatever address: a code has six digits. Raises AuthError (429)."""
    limits.count_named(call, "mfa_attempt", call.project.settings.mfa_attempts_per_minute, str(factor["id"]))


def _open_challenge(call: AuthCall, tx: Transaction, factor: dict[str, Any], moment: datetime) -> dict[str, Any]:
    """Return the challenge that is answered, if it still can be. Raises AuthError."""
    try:
        named = UUID(call.text("challenge_id"))
    except ValueError as error:
        raise validation_error("challenge_id must be an UUID") from error
    found = factors.find_challenge(tx, factor["id"], named)
    if found is None:
        raise AuthError(404, "mfa_factor_not_found", "MFA factor with the provided challenge ID not found")
    if found["verified_at"] is not None or found["ip_address"].partition("/")[0] != _address(call):
        raise _answered_elsewhere()
    if found["created_at"] + CHALLENGE <= moment:
        message = (
            f"MFA challenge {found['id']} has expired, verify against another challenge or create a new challenge."
        )
        raise AuthError(422, "mfa_challenge_expired", message)
    return found


def _proven_step(call: AuthCall, factor: dict[str, Any], _challenge: dict[str, Any]) -> int:
    """Return the time step of the code that came. Raises AuthError for a wrong one."""
    step = totp.step_of(factor["secret"] or "", call.text("code"), call.services.clock())
    if step is None:
        raise _wrong_code()
    return step


def _asked_of_authenticator(
    call: AuthCall, user: dict[str, Any], factor: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the browser asks an authenticator, and what of it is kept until it answers."""
    party = parties.of_request(call.project, call.members("webauthn") or call.members("web_authn"))
    if factor["status"] == "verified":
        known = _credential(factor)
        kind, (options, text) = "request", ceremonies.request_options(party, [known.id], verified=False)
    else:
        kind, (options, text) = (
            "create",
            ceremonies.registration_options(party, user["id"], _account(user), [], discoverable=False),
        )
    kept = {"challenge": text, "rpId": party.id, "rpOrigins": list(party.origins), "type": kind}
    return {"webauthn": {"type": kind, "credential_options": {"publicKey": options}}}, kept


def _proven_credential(call: AuthCall, factor: dict[str, Any], challenge: dict[str, Any]) -> Credential:
    """Return the credential that has answered, as it is from now on. Raises AuthError for a wrong answer."""
    given = call.members("webauthn") or call.members("web_authn") or {}
    answer, kept = given.get("credential_response"), challenge["web_authn_session_data"] or {}
    if not isinstance(answer, dict):
        raise validation_error("credential_response required")
    try:
        party = RelyingParty(kept["rpId"], tuple(kept["rpOrigins"]))
        if kept["type"] == "create" and factor["status"] != "verified":
            return ceremonies.registered(party, kept["challenge"], answer, verified=False)
        known = _credential(factor)
        count, backed_up = ceremonies.authenticated(party, kept["challenge"], answer, known, verified=False)
        return known.used(count, backed_up=backed_up)
    except (CeremonyFailed, KeyError) as error:
        raise AuthError(422, "mfa_verification_failed", "The authenticator's answer cannot be verified") from error


def _credential(factor: dict[str, Any]) -> Credential:
    try:
        return Credential.from_json(factor["web_authn_credential"] or {})
    except CeremonyFailed as error:
        raise AuthError(422, "mfa_verification_failed", "The factor has no credential that can be asked") from error


def _address(call: AuthCall) -> str:
    """Return the address of the caller, as Postgres writes it; by a socket that knows none, the same for all."""
    try:
        return str(ip_address(call.address))
    except ValueError:
        return "0.0.0.0"  # noqa: S104 - nobody listens there


def _wrong_code() -> AuthError:
    return AuthError(422, "mfa_verification_failed", "Invalid TOTP code entered")


def _answered_elsewhere() -> AuthError:
    return AuthError(422, "mfa_ip_address_mismatch", "Challenge and verify IP addresses mismatch.")


def _account(user: dict[str, Any]) -> str:
    return str(user["email"] or user["phone"] or user["id"])


def _issuer(call: AuthCall) -> str:
    return urlsplit(call.project.settings.site_url).netloc or urlsplit(call.project.issuer).netloc


ROUTES = (
    AuthRoute("POST", "/factors", "user", enroll),
    AuthRoute("POST", "/factors/<factor_id>/challenge", "user", challenge),
    AuthRoute("POST", "/factors/<factor_id>/verify", "user", verify),
    AuthRoute("DELETE", "/factors/<factor_id>", "user", unenroll),
)
