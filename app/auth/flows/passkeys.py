"""/passkeys: somebody registers an authenticator that knows them, and signs in by it alone, without a name."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.auth import audit, limits
from app.auth.errors import AuthError, validation_error
from app.auth.mfa import ceremonies, levels, parties
from app.auth.mfa.ceremonies import CeremonyFailed, Credential, RelyingParty
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.sign_in import begin_session
from app.auth.store import passkeys, users
from app.auth.times import moment_of, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from infra.postgres.database import Transaction

CHALLENGE = timedelta(seconds=ceremonies.CHALLENGE_SECONDS)
MOST, NAME_MAX = 10, 120


def registration_options(call: AuthCall) -> AuthAnswer:
    """Answer what an authenticator is asked for a new passkey of the signed-in user."""
    party = _party(call)
    with call.project.transaction() as tx:
        user, session = levels.permanent_user(call, tx)
        _ensure_level(user, session)
        known = [each["credential_id"] for each in passkeys.of_user(tx, user["id"])]
        if len(known) >= MOST:
            raise AuthError(422, "too_many_passkeys", f"A user has at most {MOST} passkeys")
        name = str(user["email"] or user["phone"] or user["id"])
        options, text = ceremonies.registration_options(party, user["id"], name, known, discoverable=True)
        return _challenged(call, tx, user["id"], "registration", (party, options, text))


def register(call: AuthCall) -> AuthAnswer:
    """Keep the passkey that an authenticator has made for the signed-in user."""
    _party(call)
    with call.project.autocommit() as tx:
        user, session = levels.permanent_user(call, tx)
        _ensure_level(user, session)
        kept, answer = _answered(call, tx, user["id"], "registration")
    try:
        made = ceremonies.registered(_kept_party(kept), kept["challenge"], answer, verified=True)
    except CeremonyFailed as error:
        raise _failed() from error
    with call.project.transaction() as tx:
        users.lock(tx, user["id"])  # two that register at once are counted one after the other
        if len(passkeys.of_user(tx, user["id"])) >= MOST:
            raise AuthError(422, "too_many_passkeys", f"A user has at most {MOST} passkeys")
        try:
            row = passkeys.create(tx, user["id"], moment_of(call.services.clock()), **_columns(made))
        except users.Taken as error:
            raise AuthError(422, "webauthn_credential_exists", "This passkey is registered already") from error
        audit.record(call, tx, "passkey_created", user, passkey_id=str(row["id"]))
        return AuthAnswer(_shown(row))


def authentication_options(call: AuthCall) -> AuthAnswer:
    """Answer what an authenticator is asked by somebody whom nobody knows yet."""
    party = _party(call)
    limits.count_request(call, "sign_in")
    options, text = ceremonies.request_options(party, [], verified=True)
    with call.project.transaction() as tx:
        return _challenged(call, tx, None, "authentication", (party, options, text))


def authenticate(call: AuthCall) -> AuthAnswer:
    """Sign in whoever has the passkey."""
    _party(call)
    limits.count_request(call, "sign_in")
    with call.project.autocommit() as tx:
        kept, answer = _answered(call, tx, None, "authentication")
    with call.project.transaction() as tx:
        user = _proven(call, tx, kept, answer)
        audit.record(call, tx, "login", user, provider="passkey")
        return AuthAnswer(begin_session(call, tx, user, method="passkey"))


def list_own(call: AuthCall) -> AuthAnswer:
    """Answer the passkeys of the signed-in user."""
    _party(call)
    with call.project.autocommit() as tx:
        user, _ = levels.permanent_user(call, tx)
        return AuthAnswer([_shown(row) for row in passkeys.of_user(tx, user["id"])])


def rename(call: AuthCall) -> AuthAnswer:
    """Give a passkey of the signed-in user another name."""
    _party(call)
    name = call.text("friendly_name").strip()
    if not 0 < len(name) <= NAME_MAX:
        raise validation_error(f"friendly_name is required, and has at most {NAME_MAX} characters")
    with call.project.autocommit() as tx:
        user, _ = levels.permanent_user(call, tx)
        moment = moment_of(call.services.clock())
        row = passkeys.rename(tx, user["id"], _passkey_id(call), name, moment)
    if row is None:
        raise _absent()
    return AuthAnswer(_shown(row))


def delete_own(call: AuthCall) -> AuthAnswer:
    """Forget a passkey of the signed-in user: nobody signs in by it again."""
    _party(call)
    with call.project.transaction() as tx:
        user, session = levels.permanent_user(call, tx)
        _ensure_level(user, session)
        forget(call, tx, user, _passkey_id(call))
    return AuthAnswer(status=204)


def forget(call: AuthCall, tx: Transaction, user: Mapping[str, Any], passkey_id: UUID) -> None:
    """Forget a passkey of this user. Raises AuthError (404)."""
    if not passkeys.delete(tx, user["id"], passkey_id):
        raise _absent()
    audit.record(call, tx, "passkey_deleted", user, passkey_id=str(passkey_id))


def shown_of(tx: Transaction, user_id: object) -> list[dict[str, Any]]:
    """Return a user's passkeys as clients read them."""
    return [_shown(row) for row in passkeys.of_user(tx, user_id)]


def id_of(text: str) -> UUID:
    """Return the id that a path names. Raises AuthError (404)."""
    try:
        return UUID(text)
    except ValueError as error:
        raise _absent() from error


def _party(call: AuthCall) -> RelyingParty:
    """Return for whom passkeys are made. Raises AuthError where the project has none."""
    if not call.project.settings.passkeys:
        raise AuthError(404, "passkey_disabled", "Passkeys are disabled")
    party = parties.of_project(call.project)
    if party is None:
        raise AuthError(404, "passkey_disabled", "Passkeys need webauthnDomain and webauthnOrigins, or siteUrl")
    return party


def _challenged(
    call: AuthCall,
    tx: Transaction,
    user_id: object | None,
    kind: passkeys.ChallengeType,
    asked: tuple[RelyingParty, dict[str, Any], str],
) -> AuthAnswer:
    """Answer what an authenticator is asked, by whom and with which challenge; keep what its answer is checked by."""
    party, options, text = asked
    moment = moment_of(call.services.clock())
    kept = {"challenge": text, "rpId": party.id, "rpOrigins": list(party.origins)}
    made = passkeys.challenge(tx, user_id, kind, kept, moment=moment, expires=moment + CHALLENGE)
    expires = int((moment + CHALLENGE).timestamp())
    return AuthAnswer({"challenge_id": str(made), "options": options, "expires_at": expires})


def _answered(
    call: AuthCall, tx: Transaction, user_id: object | None, kind: passkeys.ChallengeType
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the challenge was about, which nobody can answer again, and the answer. Raises AuthError."""
    answer = call.members("credential")
    if answer is None:
        raise validation_error("credential required")
    try:
        named = UUID(call.text("challenge_id"))
    except ValueError as error:
        raise validation_error("challenge_id must be an UUID") from error
    kept = passkeys.take_challenge(tx, user_id, kind, named, moment_of(call.services.clock()))
    if kept is None:
        raise AuthError(400, "webauthn_challenge_not_found", "The challenge is unknown, answered already or expired")
    return kept, answer


def _proven(call: AuthCall, tx: Transaction, kept: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Return the user whose passkey has answered. Raises AuthError."""
    try:
        named, handle = ceremonies.credential_id(answer), ceremonies.user_handle(answer)
        row = passkeys.find(tx, named)
        if row is None or handle not in (None, row["user_id"]):
            raise _failed()
        known = Credential(bytes(row["credential_id"]), bytes(row["public_key"]), row["sign_count"], "")
        count, backed_up = ceremonies.authenticated(_kept_party(kept), kept["challenge"], answer, known, verified=True)
    except CeremonyFailed as error:
        raise _failed() from error
    user = users.find(tx, row["user_id"])
    if user is None or user["deleted_at"] is not None:
        raise _failed()
    passkeys.note_use(tx, row["id"], moment_of(call.services.clock()), sign_count=count, backed_up=backed_up)
    return user


def _kept_party(kept: Mapping[str, Any]) -> RelyingParty:
    return RelyingParty(kept["rpId"], tuple(kept["rpOrigins"]))


def _columns(made: Credential) -> dict[str, Any]:
    return {
        "credential_id": made.id,
        "public_key": made.public_key,
        "attestation_type": made.attestation,
        "aaguid": made.aaguid,
        "sign_count": made.sign_count,
        "transports": list(made.transports),
        "backup_eligible": made.backup_eligible,
        "backed_up": made.backed_up,
    }


def _ensure_level(user: Mapping[str, Any], session: Mapping[str, Any]) -> None:
    levels.ensure_second(user, session, status=403, message="AAL2 session is required to change passkeys")


def _passkey_id(call: AuthCall) -> UUID:
    return id_of(call.path["passkey_id"])


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    used: datetime | None = row["last_used_at"]
    return {
        "id": str(row["id"]),
        **({"friendly_name": row["friendly_name"]} if row["friendly_name"] else {}),
        "created_at": rfc3339(row["created_at"]),
        **({} if used is None else {"last_used_at": rfc3339(used)}),
    }


def _failed() -> AuthError:
    return AuthError(400, "webauthn_verification_failed", "The authenticator's answer cannot be verified")


def _absent() -> AuthError:
    return AuthError(404, "validation_failed", "Passkey not found")


ROUTES = (
    AuthRoute("GET", "/passkeys", "user", list_own),
    AuthRoute("POST", "/passkeys/registration/options", "user", registration_options),
    AuthRoute("POST", "/passkeys/registration/verify", "user", register),
    AuthRoute("POST", "/passkeys/authentication/options", "key", authentication_options),
    AuthRoute("POST", "/passkeys/authentication/verify", "key", authenticate),
    AuthRoute("PATCH", "/passkeys/<passkey_id>", "user", rename),
    AuthRoute("DELETE", "/passkeys/<passkey_id>", "user", delete_own),
)
