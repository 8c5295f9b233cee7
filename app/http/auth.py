"""Who asks, and may they: access tokens, personal tokens, operators, rate limits, addresses."""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING

from flask import g, request

from app.http.caller import Caller
from app.http.problems import Problem
from app.http.routing import SIGN_IN
from app.server.clients import client_address
from catalog import personal_tokens, sessions
from catalog.ids import is_id
from infra.secrets import secretfiles, tokens

if TYPE_CHECKING:
    from app.http.context import AppContext
    from app.http.routing import Operation

PLATFORM_KEY = "PLATFORM_JWT_SECRET"
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+)", re.ASCII | re.IGNORECASE)


def authenticate(world: AppContext, operation: Operation, address: str) -> Caller | None:
    """Return who asks; None where anyone may. Raises Problem: 401, 404 for what is for operators only, 429."""
    if operation.who == "anyone":
        _count(world, operation, "", address)
        return None
    if "Authorization" not in request.headers:
        _count(world, operation, "", address)
        raise _not_found() if operation.who == "operator" else _unauthorized("sign in first")
    caller = _caller(world)
    if caller is None:
        _count(world, operation, "", address)
        raise _unauthorized("the token is not valid", error="invalid_token")
    g.caller = caller
    if not operation.keyed or "Idempotency-Key" not in request.headers:
        _count(world, operation, caller.owner_id, address)
    if operation.who == "operator" and not caller.is_operator:
        raise _not_found()
    _require_scope(operation, caller)
    return caller


def count_request(world: AppContext, operation: Operation, caller: Caller, address: str) -> None:
    """Count a request that turned out not to be a replay. Raises Problem: 429."""
    _count(world, operation, caller.owner_id, address)


def address_of_client(trusted_proxies: str) -> str:
    """Return the address a request comes from; X-Forwarded-For counts only as far as trusted proxies wrote it."""
    return client_address(request.remote_addr or "", request.headers.get("X-Forwarded-For", ""), trusted_proxies)


def _caller(world: AppContext) -> Caller | None:
    shown = _BEARER.fullmatch(request.headers["Authorization"].strip())
    if shown is None:
        return None
    token = shown[1]
    keys = secretfiles.read(world.settings.secrets_folder, PLATFORM_KEY)
    seen = hashlib.sha256("\n".join([token, *keys]).encode()).digest()
    caller = world.callers.get(seen, lambda: _look_up(world, token, keys))
    return None if caller is None or caller.expires_at <= time.time() else caller


def _look_up(world: AppContext, token: str, keys: list[str]) -> Caller | None:
    if token.startswith(personal_tokens.PREFIX):
        with world.infra.database.autocommit() as tx:
            bearer = personal_tokens.find_bearer(tx, token)
        if bearer is None:
            return None
        return Caller(bearer.owner_id, bearer.is_operator, bearer.id, scopes=frozenset(bearer.scopes))
    try:
        claims = tokens.verify_access(token, keys)
    except tokens.TokenRefused:
        return None
    owner, session = claims["sub"], claims.get("sid")
    # Nothing else was ever signed by us. What a statement cannot even be asked about (NUL, no UUID) is refused here.
    if not is_id("own", owner) or (session is not None and not sessions.is_session_id(session)):
        return None
    with world.infra.database.autocommit() as tx:
        standing = sessions.access_status(tx, owner, session)
    if standing is None or standing.ended:
        return None
    return Caller(standing.owner_id, standing.is_operator, standing.owner_id, session, claims["exp"])


def _count(world: AppContext, operation: Operation, owner: str, address: str) -> None:
    per_minute = {"api": world.settings.api_rate_per_minute, "sign_in": world.settings.sign_in_rate_per_minute}
    if operation.limit == "none":
        return
    counted = world.limiter.hit(per_minute[operation.limit], operation.limit, owner, address)
    if counted is None:
        return
    g.rate_headers = {
        "RateLimit-Limit": str(counted.limit),
        "RateLimit-Remaining": str(counted.remaining),
        "RateLimit-Reset": str(counted.reset_seconds),
    }
    if not counted.passed:
        headers = {"Retry-After": str(counted.reset_seconds)}
        raise Problem(429, "too-many-requests", f"{counted.limit} a minute are allowed", headers=headers)


def _require_scope(operation: Operation, caller: Caller) -> None:
    """Raise Problem (403) for what a personal token was not made for; a sign-in may everything that its owner may."""
    needed = operation.needs
    if caller.scopes is None or needed in caller.scopes:
        return
    if needed == SIGN_IN:
        detail = "a personal token cannot do this; sign in with e-mail address and password"
    else:
        detail = f"this token has not the scope {needed}"
    challenge = f'Bearer realm="launchdb", error="insufficient_scope", scope="{needed}"'
    raise Problem(403, "insufficient-scope", detail, headers={"WWW-Authenticate": challenge})


CHALLENGE = {"WWW-Authenticate": 'Bearer realm="launchdb"'}


def _unauthorized(detail: str, *, error: str = "") -> Problem:
    challenge = 'Bearer realm="launchdb"' + (f', error="{error}"' if error else "")
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def _not_found() -> Problem:
    return Problem(404, "not-found", "there is nothing at this path")
