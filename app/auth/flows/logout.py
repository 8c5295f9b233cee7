"""POST /logout: this session ends, or all of the user's, or all but this."""

from __future__ import annotations

from app.auth import audit
from app.auth.errors import validation_error
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.auth.sign_in import current_user
from app.auth.store import sessions

SCOPES = ("global", "local", "others")


def log_out(call: AuthCall) -> AuthAnswer:
    """End sessions by the scope that was asked for, with their refresh tokens."""
    scope = call.query.get("scope") or "global"
    if scope not in SCOPES:
        raise validation_error(f"Unsupported logout scope {scope[:40]!r}")
    with call.project.transaction() as tx:
        user, session = current_user(call, tx)
        if scope == "global" or (scope == "others" and session is None):
            sessions.end_all(tx, user["id"])
        elif session is not None and scope == "others":
            sessions.end_others(tx, user["id"], session["id"])
        elif session is not None:
            sessions.end_one(tx, user["id"], session["id"])
        audit.record(call, tx, "logout", user, scope=scope)
    return AuthAnswer(status=204)


ROUTES = (AuthRoute("POST", "/logout", "user", log_out),)
