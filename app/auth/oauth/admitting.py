"""How somebody with an account at a provider comes to be signed in: which user, whether they may, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import audit
from app.auth.errors import AuthError
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
) -> dict[str, Any]:
    """Find or make the user of an account; return what `then` makes of their row, in the same transaction.

    link_to  the user who is signed in and wants this account besides; None: whoever it belongs to

    Raises AuthError.
    """
    if not account.email and not email_optional and link_to is None:
        raise AuthError(500, "unexpected_failure", "Error getting user email from external provider")
    for attempt in (1, 2):
        try:
            return _admitted(call, account, then, link_to)
        except Taken as error:  # somebody came by the same account or address at the same time: now they are there
            if attempt > 1:
                raise AuthError(409, "conflict", "Another sign-in was faster, try again") from error
    raise AssertionError


def _admitted(
    call: AuthCall,
    account: ExternalAccount,
    then: Callable[[Transaction, dict[str, Any]], dict[str, Any]],
    link_to: object,
) -> dict[str, Any]:
    with call.project.transaction() as tx:
        if link_to is not None:
            linked = linking.join(call, tx, link_to, account)
            audit.record(call, tx, "user_modified", linked.user, provider=account.provider)
            return then(tx, linked.user)
        linked = linking.user_of(call, tx, account)
        ensure_not_banned(call, linked.user, status=403)
        user = linking.confirm(call, tx, linked, account)
        if not user["email"] or user["email_confirmed_at"] is not None or user["phone_confirmed_at"] is not None:
            audit.record(call, tx, "user_signedup" if linked.is_new else "login", user, provider=account.provider)
            return then(tx, user)
    # What was written stays: they are to confirm the address, and then come again.
    provider = account.provider
    raise AuthError(
        422,
        "provider_email_needs_verification",
        f"Unverified email with {provider}. Verify the email with {provider} in order to sign in",
    )
