"""Signing in with an account at another provider: people leave by /authorize and come back by /callback."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from app.auth import limits, pkce, redirects
from app.auth.errors import AuthError
from app.auth.oauth.admitting import admit
from app.auth.oauth.exchange import Exchange, Handshake, ProviderError
from app.auth.oauth.kinds import provider_of
from app.auth.serve.call import AuthAnswer, AuthRoute
from app.auth.sign_in import begin_session
from app.auth.store import flow_states, oauth_states
from app.auth.store.oauth_states import OAuthState
from app.auth.times import moment_of
from infra.errors import Refused, Unavailable

if TYPE_CHECKING:
    from app.auth.oauth.accounts import ExternalAccount
    from app.auth.serve.call import AuthCall
    from app.auth.store.flow_states import FlowState
    from infra.postgres.database import Transaction

log = logging.getLogger(__name__)
METHOD = "oauth"
# People have to find their password and their second factor meanwhile.
STATE_SECONDS = 600
# How an error is called in OAuth, by the status that it would have.
_OAUTH_NAMES = {400: "invalid_request", 401: "unauthorized_client", 403: "access_denied", 422: "access_denied"}
# What OAuth 2.0 and OpenID Connect have providers say of a sign-in that came to nothing.
_KNOWN = frozenset(
    {
        *("access_denied", "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope"),
        *("server_error", "temporarily_unavailable", "interaction_required", "login_required", "consent_required"),
        "account_selection_required",
    }
)
_SESSION_MEMBERS = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")


def authorize(call: AuthCall) -> AuthAnswer:
    """Send somebody to a provider, to say there who they are."""
    challenge = pkce.challenge_of(call.query)
    return AuthAnswer(None, 302, (("Location", begin(call, challenge)),))


def begin(call: AuthCall, challenge: pkce.Challenge | None, *, link_to: str | None = None) -> str:
    """Begin a sign-in at a provider; return its address there. link_to: who wants this account besides.

    Raises AuthError.
    """
    provider = provider_of(call.project, call.query.get("provider", ""))
    limits.count(call, "oauth", call.project.settings.sign_in_rate_per_minute)
    exchange = Exchange(call.services.oauth, provider, callback_url(call))
    handshake = Handshake()
    try:
        url = exchange.authorization_url(handshake, call.query.get("scopes", ""), call.query)
    except Refused as error:
        raise AuthError(400, "validation_failed", f"Unsupported provider: {error}") from error
    except Unavailable as error:
        raise AuthError(503, "unavailable", "The provider could not be asked; try again") from error
    now = call.services.clock()
    with call.project.transaction() as tx:
        flow = flow_states.create(
            tx,
            provider_type=provider.name,
            authentication_method=METHOD,
            now=now,
            challenge=challenge,
            referrer=redirects.redirect_of(call),
            linking_target=link_to,
            email_optional=provider.settings.email_optional,
        )
        if flow is None:
            raise RuntimeError("a flow of nobody's was not begun")
        kept = OAuthState(provider.name, handshake.verifier, handshake.nonce, flow.id, moment_of(now))
        oauth_states.create(tx, handshake.state, kept)
    return url


def callback_url(call: AuthCall) -> str:
    """Return where providers send people back to."""
    return f"{call.project.issuer}/callback"


def callback(call: AuthCall) -> AuthAnswer:
    """Sign in whom a provider sends back, or say in the address that they go to why not."""
    given = {**call.query, **{name: value for name, value in call.body.items() if isinstance(value, str)}}
    flow: FlowState | None = None
    try:
        state, flow = _taken(call, given.get("state", ""))
        return _arrived(call, flow, _account(call, state, given))
    except AuthError as error:
        return _turned_away(call, flow, error)


def _taken(call: AuthCall, state: str) -> tuple[OAuthState, FlowState]:
    if not state:
        raise AuthError(400, "bad_oauth_callback", "OAuth state parameter missing")
    with call.project.transaction() as tx:
        kept = oauth_states.take(tx, state)
        flow = None if kept is None else flow_states.find(tx, str(kept.flow_state_id))
    if kept is None or flow is None:
        raise AuthError(400, "bad_oauth_state", "OAuth state not found or expired")
    if call.services.clock() - kept.created_at.timestamp() > STATE_SECONDS:
        raise AuthError(400, "bad_oauth_state", "OAuth state has expired")
    return kept, flow


def _account(call: AuthCall, state: OAuthState, given: dict[str, str]) -> ExternalAccount:
    if given.get("error"):
        name, said = given["error"][:100], given.get("error_description", "")[:500]
        # The code is counted and stands in a header: it is a word of ours, whatever a provider, or a stranger, says.
        raise AuthError(403, name if name in _KNOWN else "bad_oauth_callback", said, extra={"oauth": name})
    if not given.get("code"):
        raise AuthError(400, "bad_oauth_callback", "OAuth callback without a code")
    provider = provider_of(call.project, state.provider_type)
    exchange = Exchange(call.services.oauth, provider, callback_url(call))
    handshake = Handshake("", state.nonce, state.code_verifier)
    try:
        return exchange.account(
            given["code"],
            handshake,
            now=call.services.clock(),
            issuer=given.get("iss", ""),
            user=given.get("user", ""),
        )
    except ProviderError as error:
        raise AuthError(400, "bad_oauth_callback", str(error)) from error
    except Refused as error:
        log.warning("an OAuth provider was of no use", extra={"project_id": call.project.id, "error": str(error)})
        raise AuthError(500, "unexpected_failure", "Error getting user profile from external provider") from error
    except Unavailable as error:
        raise AuthError(503, "request_timeout", "The provider could not be asked; try again") from error


def _arrived(call: AuthCall, flow: FlowState, account: ExternalAccount) -> AuthAnswer:
    where = flow.referrer or call.project.settings.site_url

    def then(tx: Transaction, user: dict[str, Any]) -> dict[str, Any]:
        if flow.code_challenge is None:
            flow_states.remove(tx, flow.id)
            return begin_session(call, tx, user, METHOD, provider=account.provider)
        tokens = {"access_token": account.access_token or None, "refresh_token": account.refresh_token or None}
        code = flow_states.finish(tx, str(flow.id), str(user["id"]), now=call.services.clock(), **tokens)
        return {"code": code}

    optional = flow.email_optional
    found = admit(call, account, then, link_to=flow.linking_target_id, email_optional=optional, redirect_to=where)
    if "code" in found:
        return _to(redirects.with_query(where, [("code", found["code"])]))
    shown = {name: str(found[name]) for name in _SESSION_MEMBERS}
    shown |= {
        name: value
        for name, value in (
            ("provider_token", account.access_token),
            ("provider_refresh_token", account.refresh_token),
        )
        if value
    }
    return _to(redirects.with_fragment(where, sorted(shown.items())))


def _turned_away(call: AuthCall, flow: FlowState | None, error: AuthError) -> AuthAnswer:
    where = (flow.referrer if flow is not None else None) or call.project.settings.site_url
    if not where:
        raise error
    name = error.extra.get("oauth") or _OAUTH_NAMES.get(error.status, "server_error")
    said = [("error", name), ("error_code", error.code), ("error_description", error.message)]
    # Clients of either flow look in one of the two.
    return _to(redirects.with_fragment(redirects.with_query(where, said), said))


def _to(url: str) -> AuthAnswer:
    return AuthAnswer(None, 302, (("Location", redirects.header_of(url)),))


ROUTES = (
    AuthRoute("GET", "/authorize", "open", authorize),
    AuthRoute("GET", "/callback", "open", callback),
    AuthRoute("POST", "/callback", "open", callback, form=True),
)
