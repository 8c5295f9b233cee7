"""Which user an account at a provider belongs to: one that has it already, one whose address it has, or a new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.auth import new_users
from app.auth.errors import AuthError
from app.auth.store import identities, users
from app.auth.store.users import Taken
from app.auth.times import moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from app.auth.oauth.accounts import ExternalAccount
    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction


@dataclass(frozen=True)
class Linked:
    """What came of it. is_new: the user was made for this account."""

    user: dict[str, Any]
    identity: dict[str, Any]
    is_new: bool = False


def user_of(call: AuthCall, tx: Transaction, account: ExternalAccount) -> Linked:
    """Return whom an account signs in, made when nobody is. Raises AuthError."""
    moment = moment_of(call.services.clock())
    known = identities.find(tx, account.provider, account.id)
    if known is not None:
        return _signed_in_again(tx, known, account, moment)
    owners = identities.users_of_email(tx, account.email) if account.email and account.is_verified else []
    if len(owners) > 1:
        raise AuthError(500, "unexpected_failure", "Multiple accounts with the same email address were found")
    if owners:
        return _joined(tx, owners[0], account, moment)
    return _made(call, tx, account, moment)


def join(call: AuthCall, tx: Transaction, user_id: object, account: ExternalAccount) -> Linked:
    """Give a user who is signed in a further account. Raises AuthError."""
    known = identities.find(tx, account.provider, account.id)
    if known is not None:
        whose = "" if known["user_id"] == user_id else " to another user"
        raise AuthError(422, "identity_already_exists", f"Identity is already linked{whose}")
    linked = _joined(tx, user_id, account, moment_of(call.services.clock()))
    return Linked(_with_address(call, tx, linked.user), linked.identity)


def providers_of(rows: list[dict[str, Any]], before: dict[str, Any] | None) -> dict[str, Any]:
    """Return the app_metadata of a user with these identities: `provider` is the first of them."""
    named = list(dict.fromkeys(row["provider"] for row in rows))
    return {**(before or {}), "providers": named, **({"provider": named[0]} if named else {})}


def _signed_in_again(tx: Transaction, known: dict[str, Any], account: ExternalAccount, moment: datetime) -> Linked:
    user = _locked(tx, known["user_id"])
    identity = identities.refresh(tx, known["id"], account.data, moment)
    return Linked(_told(tx, user, account), identity)


def _joined(tx: Transaction, user_id: object, account: ExternalAccount, moment: datetime) -> Linked:
    user = _locked(tx, user_id)
    identity = identities.create(tx, user_id, account.provider, account.id, account.data, moment=moment)
    return Linked(_told(tx, user, account), identity)


def _locked(tx: Transaction, user_id: object) -> dict[str, Any]:
    user = users.lock(tx, user_id)
    if user is None or user["deleted_at"] is not None:
        raise AuthError(404, "user_not_found", "User not found")
    return user


def _told(tx: Transaction, user: dict[str, Any], account: ExternalAccount) -> dict[str, Any]:
    """Write what the provider says into what is known of the user, and by which providers they are known."""
    return users.update(
        tx,
        user["id"],
        raw_user_meta_data={**(user["raw_user_meta_data"] or {}), **account.data},
        raw_app_meta_data=providers_of(identities.of_user(tx, user["id"]), user["raw_app_meta_data"]),
    )


def _made(call: AuthCall, tx: Transaction, account: ExternalAccount, moment: datetime) -> Linked:
    if not call.project.settings.sign_up:
        raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")
    # An address that nobody vouches for does not get in the way of whoever has it.
    free = account.email and (account.is_verified or users.find_by_email(tx, account.email) is None)
    columns: dict[str, Any] = {
        "email": account.email if free else None,
        "raw_app_meta_data": {"provider": account.provider, "providers": [account.provider]},
        "raw_user_meta_data": account.data,
        "created_at": moment,
        "updated_at": moment,
    }
    user = new_users.insert_user(call, tx, columns)
    identity = identities.create(tx, user["id"], account.provider, account.id, account.data, moment=moment)
    return Linked(user, identity, is_new=True)


def _with_address(call: AuthCall, tx: Transaction, user: dict[str, Any]) -> dict[str, Any]:
    """Return a user who has the address of an identity, if they had none: an anonymous one is that no more."""
    if user["email"]:
        return user
    return take_address(call, tx, user)


def take_address(call: AuthCall, tx: Transaction, user: dict[str, Any]) -> dict[str, Any]:
    """Give a user the address of one of their identities, best of one whose provider vouches for it; else none."""
    rows = [row for row in identities.of_user(tx, user["id"]) if row["email"]]
    vouched = [row for row in rows if row["identity_data"].get("email_verified") is True]
    chosen = next(iter(vouched), None) or next(iter(rows), None)
    email = chosen["email"] if chosen is not None else None
    if email and (owner := users.find_by_email(tx, email)) is not None and owner["id"] != user["id"]:
        chosen = email = None
    confirmed = bool(email) and (chosen in vouched or call.project.autoconfirm)
    moment = moment_of(call.services.clock())
    return users.update(
        tx,
        user["id"],
        email=email,
        email_confirmed_at=moment if confirmed else None,
        is_anonymous=user["is_anonymous"] and not identities.of_user(tx, user["id"]),
    )


def confirm(call: AuthCall, tx: Transaction, linked: Linked, account: ExternalAccount) -> dict[str, Any]:
    """Return the user whose address counts as confirmed now, as far as the provider vouches for it.

    Whatever else was added to an account whose address nobody had confirmed may be of somebody who waits for its owner.
    """
    user = linked.user
    if user["email_confirmed_at"] is not None or user["phone_confirmed_at"] is not None:
        return user
    if not linked.is_new:
        identities.delete_others(tx, user["id"], linked.identity["id"])
        app = providers_of([linked.identity], user["raw_app_meta_data"])
        more = {"encrypted_password": None, "raw_user_meta_data": account.data, "raw_app_meta_data": app}
        user = users.update(tx, user["id"], **more)
    vouched = account.is_verified and account.email == user["email"]
    if user["email"] and (vouched or call.project.autoconfirm):
        return users.update(tx, user["id"], email_confirmed_at=moment_of(call.services.clock()), confirmation_token="")
    return user


__all__ = ["Linked", "Taken", "confirm", "join", "providers_of", "take_address", "user_of"]
