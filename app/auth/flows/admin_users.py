"""/admin/users: what whoever holds the service key does with users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.auth import audit, new_users
from app.auth.admin_changes import changed_columns, columns_of_new_user
from app.auth.errors import AuthError
from app.auth.listing import page_of
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.store import factors, identities, one_time_tokens, sessions, user_lists, users
from app.auth.user_json import public_user, user_json

if TYPE_CHECKING:
    from infra.postgres.database import Transaction

NOT_FOUND = "User not found"


def list_users(call: AuthCall) -> AuthAnswer:
    """Answer one page of the users, with headers that say how many there are and where the next page is."""
    page = page_of(call)
    with call.project.autocommit() as tx:
        total = user_lists.count(tx, page.filter)
        rows = user_lists.page(tx, page)
        ids = [row["id"] for row in rows]
        known, enrolled = identities.of_users(tx, ids), factors.of_users(tx, ids)
    shown = [public_user(row, known.get(row["id"], []), enrolled.get(row["id"], [])) for row in rows]
    return AuthAnswer(
        {"users": shown, "aud": users.AUDIENCE},
        headers=(("X-Total-Count", str(total)), ("Link", page.links(f"{call.project.issuer}/admin/users", total))),
    )


def create(call: AuthCall) -> AuthAnswer:
    """Create a user, without a letter to them."""
    columns = columns_of_new_user(call)
    try:
        with call.project.transaction() as tx:
            row = new_users.create_user(call, tx, **columns)
            audit.record(call, tx, "user_signedup", row)
            return AuthAnswer(user_json(tx, row))
    except users.Taken as error:
        raise new_users.taken_error(error) from error


def show(call: AuthCall) -> AuthAnswer:
    """Answer one user."""
    with call.project.autocommit() as tx:
        return AuthAnswer(user_json(tx, found_user(call, tx)))


def change(call: AuthCall) -> AuthAnswer:
    """Change a user: metadata member by member, everything else as it is given."""
    with call.project.autocommit() as tx:
        found_user(call, tx)
    columns = changed_columns(call)
    data, app_data = columns.pop("raw_user_meta_data", None), columns.pop("raw_app_meta_data", None)
    try:
        with call.project.transaction() as tx:
            row = found_user(call, tx, lock=True)
            row = _changed(tx, row, columns, data, app_data)
            if "encrypted_password" in columns:
                sessions.end_all(tx, row["id"])
            if columns.keys() & {"encrypted_password", "email"}:
                one_time_tokens.drop_all(tx, str(row["id"]))
            audit.record(call, tx, "user_modified", row)
            return AuthAnswer(user_json(tx, row))
    except users.Taken as error:
        raise new_users.taken_error(error) from error


def _changed(
    tx: Transaction,
    row: dict[str, Any],
    columns: dict[str, Any],
    data: dict[str, Any] | None,
    app_data: dict[str, Any] | None,
) -> dict[str, Any]:
    """Write the changes, and into the identities what they say of address and number; return the row."""
    moment = columns["updated_at"]
    known = {identity["provider"] for identity in identities.of_user(tx, row["id"])}
    added = [provider for provider in ("email", "phone") if columns.get(provider) and provider not in known]
    app_metadata = row["raw_app_meta_data"] or {}
    if added:
        before = [provider for provider in app_metadata.get("providers", []) if provider in known]
        app_metadata = {**app_metadata, **new_users.providers_of([*before, *added])}
    row = users.update(
        tx,
        row["id"],
        **columns,
        raw_user_meta_data=new_users.merged_metadata(row["raw_user_meta_data"], data),
        raw_app_meta_data=new_users.merged_metadata(app_metadata, app_data),
    )
    for provider in ("email", "phone"):
        if provider in added:
            new_users.add_identity(tx, row, provider, {}, moment)
        elif provider in known and (provider in columns or f"{provider}_confirmed_at" in columns):
            identities.merge_data(tx, row["id"], provider, new_users.identity_data(row, provider))
    return row


def delete(call: AuthCall) -> AuthAnswer:
    """Delete a user; softly, so that their id stays and nothing of them besides, when that is asked for."""
    softly = call.flag("should_soft_delete")
    with call.project.transaction() as tx:
        row = found_user(call, tx, lock=True)
        audit.record(call, tx, "user_deleted", row)
        if softly:
            users.delete_softly(tx, row)
        else:
            users.delete(tx, row["id"])
    return AuthAnswer({})


def found_user(call: AuthCall, tx: Transaction, *, lock: bool = False) -> dict[str, Any]:
    """Return the row of the user that the path names. Raises AuthError (404)."""
    try:
        user_id = UUID(call.path["user_id"])
    except ValueError as error:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from error
    row = users.lock(tx, user_id) if lock else users.find(tx, user_id)
    if row is None:
        raise AuthError(404, "user_not_found", NOT_FOUND)
    return row


ROUTES = (
    AuthRoute("GET", "/admin/users", "admin", list_users),
    AuthRoute("POST", "/admin/users", "admin", create),
    AuthRoute("GET", "/admin/users/<user_id>", "admin", show),
    AuthRoute("PUT", "/admin/users/<user_id>", "admin", change),
    AuthRoute("DELETE", "/admin/users/<user_id>", "admin", delete),
)
