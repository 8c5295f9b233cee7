"""Links and codes that come back: whose they are, and what is true of a user once they have shown one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.auth import audit, new_users
from app.auth.email_change import take_address
from app.auth.errors import AuthError
from app.auth.mailing.codes import hashes_of
from app.auth.mailing.writing import is_secure_change
from app.auth.sign_in import ensure_not_banned
from app.auth.store import identities, one_time_tokens, users
from app.auth.times import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.auth.serve.call import AuthCall
    from app.auth.store.one_time_tokens import TokenType, UsedToken
    from infra.postgres.database import Transaction

# By the type that a link names or a client says.
TYPES: Mapping[str, tuple[TokenType, ...]] = {
    "signup": ("confirmation_token",),
    "invite": ("confirmation_token",),
    "recovery": ("recovery_token",),
    "magiclink": ("recovery_token",),
    "email": ("confirmation_token", "recovery_token"),
    "email_change": ("email_change_token_new", "email_change_token_current"),
}
_SHAPE = re.compile(r"[\w-]{1,128}", re.ASCII)
NEW_ADDRESS = "email_change_token_new"
OTHER_HALF = "Confirmation link accepted. Please proceed to confirm link sent to the other email"


@dataclass(frozen=True)
class Proof:
    """What somebody shows: the hash out of a link, or a code with the address that it was mailed to.

    type  as TYPES has it
    """

    type: str
    token_hash: str = ""
    email: str = ""
    code: str = ""


def show(call: AuthCall, tx: Transaction, proof: Proof) -> dict[str, Any] | None:
    """Use the token that somebody shows; return the user's row, or None after the first half of a change of address.

    Raises AuthError (403) for a token that is not good (any more), and for a banned user.
    """
    used = _used(call, tx, proof)
    # Who shows both halves of a change at once waits for the other one here.
    user = users.lock(tx, used.user_id) if used else None
    if used is None or user is None or user["deleted_at"] is not None:
        what = "Token has expired or is invalid" if proof.code else "Email link is invalid or has expired"
        raise AuthError(403, "otp_expired", what)
    ensure_not_banned(call, user, status=403)
    if proof.type == "email_change":
        return _changed(call, tx, user, used)
    return _confirmed(call, tx, user)


def _used(call: AuthCall, tx: Transaction, proof: Proof) -> UsedToken | None:
    if _SHAPE.fullmatch(proof.code or proof.token_hash) is None:
        return None
    since = call.services.clock() - call.project.settings.one_time_seconds
    if proof.code:
        hashes = hashes_of(proof.email, proof.code)
        return one_time_tokens.use(tx, hashes, TYPES[proof.type], since=since, relates_to=proof.email)
    return one_time_tokens.use(tx, [proof.token_hash], TYPES[proof.type], since=since)


def _confirmed(call: AuthCall, tx: Transaction, user: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a user who has read a letter to their address."""
    one_time_tokens.drop(tx, str(user["id"]), "confirmation_token", "recovery_token")
    if user["email_confirmed_at"] is not None:
        audit.record(call, tx, "login", user)
        return user
    moment = moment_of(call.services.clock())
    user = users.update(tx, user["id"], email_confirmed_at=moment, updated_at=moment)
    identities.merge_data(tx, user["id"], "email", new_users.identity_data(user, "email"))
    audit.record(call, tx, "user_signedup", user, provider="email")
    return user


def _changed(call: AuthCall, tx: Transaction, user: dict[str, Any], used: UsedToken) -> dict[str, Any] | None:
    is_new = used.token_type == NEW_ADDRESS
    if not user["email_change"] or (is_new and used.relates_to != user["email_change"]):
        raise AuthError(403, "otp_expired", "Email link is invalid or has expired")
    secure = is_secure_change(call.project, user)
    if not (user["email_change_confirm_status"] if secure else is_new):
        users.update(tx, user["id"], email_change_confirm_status=1, updated_at=moment_of(call.services.clock()))
        return None
    audit.record(call, tx, "user_modified", user)
    try:
        return take_address(call, tx, user, user["email_change"])
    except users.Taken as error:
        raise new_users.taken_error(error) from error
