"""/admin/users/<id>/factors and /passkeys: what whoever holds the service key does with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.auth import audit
from app.auth.errors import validation_error
from app.auth.flows import passkeys as own_passkeys
from app.auth.flows.admin_users import found_user
from app.auth.mfa import levels
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.store import factors, users
from app.auth.times import moment_of
from app.auth.user_json import factor_json

if TYPE_CHECKING:
    from infra.postgres.database import Transaction


def list_factors(call: AuthCall) -> AuthAnswer:
    """Answer a user's factors, without what proves them."""
    with call.project.autocommit() as tx:
        found = factors.of_user(tx, found_user(call, tx)["id"])
    return AuthAnswer([factor_json(row) for row in found])


def change_factor(call: AuthCall) -> AuthAnswer:
    """Give a user's factor another name. What it is stays."""
    name, kind = call.text("friendly_name"), call.text("factor_type")
    with call.project.transaction() as tx:
        user, factor = _found(call, tx)
        if kind and kind != factor["factor_type"]:
            raise validation_error("the type of a factor cannot be changed")
        if name:
            try:
                factor = factors.rename(tx, factor["id"], name, moment_of(call.services.clock())) or factor
            except users.Taken as error:
                raise levels.name_conflict(name) from error
        audit.record(call, tx, "factor_updated", user, factor_id=str(factor["id"]), factor_type=factor["factor_type"])
        return AuthAnswer(factor_json(factor))


def delete_factor(call: AuthCall) -> AuthAnswer:
    """Delete a user's factor; sessions that it raised are of the first level again."""
    with call.project.transaction() as tx:
        user, factor = _found(call, tx)
        factors.delete(tx, factor["id"], moment_of(call.services.clock()))
        audit.record(call, tx, "factor_deleted", user, factor_id=str(factor["id"]))
        return AuthAnswer(factor_json(factor))


def list_passkeys(call: AuthCall) -> AuthAnswer:
    """Answer a user's passkeys."""
    with call.project.autocommit() as tx:
        return AuthAnswer(own_passkeys.shown_of(tx, found_user(call, tx)["id"]))


def delete_passkey(call: AuthCall) -> AuthAnswer:
    """Delete a user's passkey."""
    with call.project.transaction() as tx:
        user = found_user(call, tx)
        own_passkeys.forget(call, tx, user, own_passkeys.id_of(call.path["passkey_id"]))
    return AuthAnswer(status=204)


def _found(call: AuthCall, tx: Transaction) -> tuple[dict[str, Any], dict[str, Any]]:
    user = found_user(call, tx)
    factor = factors.find(tx, user["id"], levels.factor_id_of(call.path["factor_id"]), lock=True)
    if factor is None:
        raise levels.not_found()
    return user, factor


_FACTORS = "/admin/users/<user_id>/factors"
ROUTES = (
    AuthRoute("GET", _FACTORS, "admin", list_factors),
    AuthRoute("PUT", f"{_FACTORS}/<factor_id>", "admin", change_factor),
    AuthRoute("DELETE", f"{_FACTORS}/<factor_id>", "admin", delete_factor),
    AuthRoute("GET", "/admin/users/<user_id>/passkeys", "admin", list_passkeys),
    AuthRoute("DELETE", "/admin/users/<user_id>/passkeys/<passkey_id>", "admin", delete_passkey),
)
