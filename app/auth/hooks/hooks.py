"""The hooks there are: what each function is told, and what its answer comes to."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from app.auth.errors import AuthError
from app.auth.hooks.running import run
from app.auth.store import sessions
from app.auth.times import moment_of, rfc3339
from app.auth.user_json import public_user, user_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.auth.letters import AuthLetter
    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction

# Of which type each claim has to stay; which of them a function may leave out.
_CLAIMS: dict[str, type | tuple[type, ...]] = {
    "iss": str, "aud": (str, list), "exp": int, "iat": int, "sub": str, "email": str, "phone": str,
    "app_metadata": dict, "user_metadata": dict, "role": str, "aal": str, "amr": list, "session_id": str,
    "is_anonymous": bool,
}  # fmt: skip
_OPTIONAL = frozenset({"iss", "app_metadata", "user_metadata", "amr"})
# By which type of action the reference tells what a letter is for.
ACTIONS = {
    "confirmation": "signup", "recovery": "recovery", "magic_link": "magiclink", "invite": "invite",
    "email_change": "email_change", "reauthentication": "reauthentication",
}  # fmt: skip


def custom_access_token(
    call: AuthCall, tx: Transaction | None, user_id: object, claims: dict[str, Any], method: str
) -> dict[str, Any]:
    """Return the claims of an access token as the project's function wants them, if there is one. Raises AuthError.

    tx      None where no transaction is open
    method  by which the user was signed in, or `token_refresh`
    """
    hook = call.project.settings.hook_custom_access_token
    if not hook:
        return claims
    told = {name: value for name, value in claims.items() if name != "db_role"}
    payload = {"user_id": str(user_id), "claims": told, "authentication_method": method}
    with call.project.transaction() if tx is None else nullcontext(tx) as within:
        found = run(call, within, hook, payload).get("claims")
    faults = _claim_faults(found)
    if faults or not isinstance(found, dict):
        said = "".join(f"\n- {fault}" for fault in faults)
        raise AuthError(500, "unexpected_failure", f"output claims do not conform to the expected schema: {said}")
    # Which role of the database it is, is ours to say: that of the name which the claim has now.
    roles = call.project.spec.roles
    return {**found, "db_role": roles.get(found["role"], roles["authenticated"])}


def _claim_faults(found: object) -> list[str]:
    if not isinstance(found, dict):
        return ["claims is required"]
    missing = [f"(root): {name} is required" for name in _CLAIMS if name not in found and name not in _OPTIONAL]
    wrong = [
        f"{name}: Invalid type"
        for name, kind in _CLAIMS.items()
        if name in found and (not isinstance(found[name], kind) or (kind is int and isinstance(found[name], bool)))
    ]
    return missing + wrong


def before_user_created(call: AuthCall, tx: Transaction, row: Mapping[str, Any]) -> None:
    """Ask the project's function, if there is one, whether this user may come about. Raises AuthError.

    row  of auth.users as it is to be; it is not there yet
    """
    hook = call.project.settings.hook_before_user_created
    if hook:
        metadata = {
            "uuid": str(uuid4()),
            "time": rfc3339(moment_of(call.services.clock())),
            "name": "before-user-created",
            "ip_address": call.address,
        }
        run(call, tx, hook, {"metadata": metadata, "user": public_user(row, [], [])})


def password_verification(call: AuthCall, user_id: object, *, valid: bool) -> None:
    """Tell the project's function, if there is one, of a password that was tried. Raises AuthError when it refuses.

    To be called while no transaction is open: sessions that end stay ended, whatever else is refused.
    """
    hook = call.project.settings.hook_password_verification
    if hook:
        message = _verdict(call, hook, user_id, {"user_id": str(user_id), "valid": valid}, always_ends=False)
        if message is not None:
            said = message or "Further password verification attempts will be rejected."
            raise AuthError(400, "invalid_credentials", said)


def mfa_verification(call: AuthCall, user_id: object, factor: Mapping[str, Any], *, valid: bool) -> None:
    """Tell the project's function, if there is one, of a code that was tried. Raises AuthError when it refuses.

    factor  its id and factor_type

    To be called while no transaction is open: who is refused has no session any more.
    """
    hook = call.project.settings.hook_mfa_verification
    if hook:
        told = {"factor_id": str(factor["id"]), "factor_type": factor["factor_type"]}
        payload = {**told, "user_id": str(user_id), "valid": valid}
        message = _verdict(call, hook, user_id, payload, always_ends=True)
        if message is not None:
            said = message or "Further MFA verification attempts will be rejected."
            raise AuthError(403, "mfa_verification_rejected", said)


def _verdict(
    call: AuthCall, hook: str, user_id: object, payload: Mapping[str, Any], *, always_ends: bool
) -> str | None:
    """Return what a function says in refusing, or None. Sessions of the user end where it says so, or always."""
    with call.project.transaction() as tx:
        answer = run(call, tx, hook, payload)
        decision = answer.get("decision")
        if decision == "continue":
            return None
        if decision != "reject":
            raise AuthError(500, "unexpected_failure", "Invalid decision: it is neither continue nor reject")
        if always_ends or answer.get("should_logout_user") is True:
            sessions.end_all(tx, user_id)
    message = answer.get("message")
    return message[:2000] if isinstance(message, str) else ""


def send_email(call: AuthCall, tx: Transaction, row: Mapping[str, Any], letters: Sequence[AuthLetter]) -> bool:
    """Give letters to the project's function, if there is one; say whether there is. Raises AuthError.

    letters  to one user, of one kind: with a change of address that both have to confirm there are two
    """
    hook = call.project.settings.hook_send_email
    if not hook:
        return False
    to_current = next((each for each in letters if each.kind == "email_change" and each.to == each.email), None)
    letter = next((each for each in letters if each is not to_current), letters[0])
    data = {
        "token": letter.token,
        "token_hash": letter.token_hash,
        "redirect_to": letter.redirect_to,
        "email_action_type": ACTIONS[letter.kind],
        "site_url": call.project.issuer,
        "token_new": "",
        "token_hash_new": "",
    }
    if to_current is not None and to_current is not letter:
        # As the reference has it: the hash of the one goes with the code of the other.
        data |= {"token": to_current.token, "token_new": letter.token, "token_hash_new": to_current.token_hash}
    run(call, tx, hook, {"user": user_json(tx, row), "email_data": data})
    return True
