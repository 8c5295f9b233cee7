"""How somebody with an account at a provider comes to be signed in: which user, whether they may, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import audit
from app.auth.errors import AuthError
from app.auth.mailing import posting
from app.auth.mailing.writing import Way, write
from app.auth.oauth import linking
from app.auth.sign_in import ensure_not_banned
from app.auth.store.users import Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.auth.oauth.accounts import ExternalAccount
    from app.auth.serve.call import AuthCall
    from infra.postgres.database import Transaction


def admit(
    call: AuthCall,
    account: ExternalAccount,
    then: Callable[[Transaction, dict[str, Any]], dict[str, Any]],
    *,
    link_to: object = None,
    email_optional: bool = False,
    redirect_to: str = "",
) -> dict[str, Any]:
    """Find or make the user of an account; return what `then` makes of their row, in the same transaction.

    link_to      the user who is signed in and wants this account besides; None: whoever it belongs to
    redirect_to  where people are sent who have to confirm the address first

    Raises AuthError.
    """
    if not account.email and not email_optional and link_to is None:
        raise AuthError(500, "unexpected_failure", "Error getting user email from external provider")
    way = Way(redirect_to)
    for attempt in (1, 2):
        try:
            return _joined(call, account, then, link_to) if link_to else _admitted(call, account, then, way)
        except Taken as error:  # somebody came by the same account or address at the same time: now they are there
            if attempt > 1:
                raise AuthError(409, "conflict", "Another sign-in was faster, try again") from error
    raise AssertionError


def _joined(
    call: AuthCall,
    account: ExternalAccount,
    then: Callable[[Transaction, dict[str, Any]], dict[str, Any]],
    link_to: object,
) -> dict[str, Any]:
    with call.project.transaction() as tx:
        linked = linking.join(call, tx, link_to, account)
        audit.record(call, tx, "user_modified", linked.user, provider=account.provider)
        return then(tx, linked.user)


def _admitted(
    call: AuthCall, account: ExternalAccount, then: Callable[[Transaction, dict[str, Any]], dict[str, Any]], way: Way
) -> dict[str, Any]:
    with call.project.transaction() as tx:
        linked = linking.user_of(call, tx, account)
        ensure_not_banned(call, linked.user, status=403)
        user = linking.confirm(call, tx, linked, account)
        if not user["email"] or user["email_confirmed_at"] is not None or user["phone_confirmed_at"] is not None:
            audit.record(call, tx, "user_signedup" if linked.is_new else "login", user, provider=account.provider)
            return then(tx, user)
        # What is written stays: they are to confirm the address, and then come again.
        posting.ensure_not_too_soon(call, "confirmation", user["email"])
        letter = write(call, tx, "confirmation", user, user["email"], way)
    posting.post(call, [letter])
    provider = account.provider
    raise AuthError(
        422,
        "provider_email_needs_verification",
        f"Unverified email with {provider}. A confirmation email has been sent to your {provider} email",
    )
