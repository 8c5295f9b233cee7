"""How a user comes by another address: it waits until it is confirmed, from both where that is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import new_users
from app.auth.errors import AuthError
from app.auth.mailing.writing import Way, idle, write_email_change
from app.auth.store import identities, one_time_tokens, users
from app.auth.times import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.auth.letters import AuthLetter
    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction


def ensure_free(tx: Transaction, email: str) -> None:
    """Raise AuthError (422 email_exists) for an address that somebody has."""
    if users.find_by_email(tx, email) is not None:
        raise AuthError(422, "email_exists", new_users.EMAIL_TAKEN)


def begin(
    call: AuthCall, tx: Transaction, user: Mapping[str, Any], email: str, way: Way
) -> tuple[dict[str, Any], list[AuthLetter]]:
    """Have a user confirm another address; return their row and the letters. Earlier links end."""
    row = _waiting(call, tx, user, email)
    return row, write_email_change(call, tx, row, email, way)


def write_again(
    call: AuthCall, tx: Transaction, user: Mapping[str, Any] | None, email: str, way: Way
) -> list[AuthLetter]:
    """Return the letters of the change that a user waits for, with other links; void ones where nobody does."""
    if user is None or not user["email_change"]:
        idle(tx)
        return write_email_change(call, tx, None, email, way)
    return begin(call, tx, user, user["email_change"], way)[1]


def write_half(
    call: AuthCall, tx: Transaction, user: Mapping[str, Any], email: str, way: Way, *, current: bool
) -> AuthLetter:
    """Return one letter of a change, for the address before (`current`) or the new one; the other's stays good."""
    if user["email_change"] != email:
        one_time_tokens.drop(tx, str(user["id"]), "email_change_token_new", "email_change_token_current")
    row = _waiting(call, tx, user, email)
    return write_email_change(call, tx, row, email, way, only="current" if current else "new")[0]


def take_address(call: AuthCall, tx: Transaction, user: Mapping[str, Any], email: str) -> dict[str, Any]:
    """Give a user a confirmed address, by which they are known from now on; return the row.

    Links and codes that went to the one before are good no more. Raises users.Taken.
    """
    moment = moment_of(call.services.clock())
    known = [identity["provider"] for identity in identities.of_user(tx, user["id"])]
    app_metadata = user["raw_app_meta_data"] or {}
    if "email" not in known:
        app_metadata = {**app_metadata, **new_users.providers_of([*known, "email"])}
    row = users.update(
        tx,
        user["id"],
        email=email,
        email_confirmed_at=moment,
        email_change="",
        email_change_confirm_status=0,
        is_anonymous=False,
        raw_app_meta_data=app_metadata,
        updated_at=moment,
    )
    one_time_tokens.drop_all(tx, str(user["id"]))
    if not identities.merge_data(tx, row["id"], "email", new_users.identity_data(row, "email")):
        new_users.add_identity(tx, row, "email", {}, moment)
    return row


def _waiting(call: AuthCall, tx: Transaction, user: Mapping[str, Any], email: str) -> dict[str, Any]:
    moment = moment_of(call.services.clock())
    return users.update(
        tx,
        user["id"],
        email_change=email,
        email_change_sent_at=moment,
        email_change_confirm_status=0,
        updated_at=moment,
    )
