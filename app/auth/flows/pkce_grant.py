"""Sign-in by PKCE: an auth code out of a redirect, and the verifier of whoever began the flow."""

from __future__ import annotations

from app.auth import audit, pkce
from app.auth.errors import AuthError, validation_error
from app.auth.limits import count_request
from app.auth.serve.call import AuthAnswer, AuthCall
from app.auth.sign_in import begin_session
from app.auth.store import flow_states, users

# From when the code was made: it is on its way through a browser, and no further.
CODE_SECONDS = 300
_MAILED = frozenset({"magiclink", "recovery", "invite", "email_change", "email/signup"})


def exchange(call: AuthCall) -> AuthAnswer:
    """Begin a session for an auth code, once."""
    count_request(call, "sign_in")
    code, verifier = call.text("auth_code"), call.text("code_verifier")
    if not code or not verifier:
        raise validation_error("invalid request: both auth code and code verifier should be non-empty")
    with call.project.transaction() as tx:
        flow = flow_states.by_code(tx, code)
        user = users.find(tx, flow.user_id) if flow is not None else None
        if flow is None or user is None or user["deleted_at"] is not None:
            raise AuthError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
        if call.services.clock() > flow.begun + CODE_SECONDS:
            raise AuthError(422, "flow_state_expired", "invalid flow state, flow state has expired")
        pkce.check_verifier(verifier, flow.code_challenge or "", flow.code_challenge_method or "")
        provider = "email" if flow.authentication_method in _MAILED else flow.provider_type
        session = begin_session(call, tx, user, flow.authentication_method, provider=provider)
        audit.record(call, tx, "login", user, provider_type=flow.provider_type)
        flow_states.remove(tx, flow.id)
    tokens = {"provider_token": flow.provider_access_token, "provider_refresh_token": flow.provider_refresh_token}
    return AuthAnswer({**session, **{name: token for name, token in tokens.items() if token}})
