"""Bearer tokens: signature, times and audience checked as PostgREST does; who the request runs as."""

from __future__ import annotations

import functools
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.data import claim_path
from app.data.errors import PgrstError
from app.data.run.connections import login_role
from infra.secrets import opaque_keys, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.config import DataConfig

# A header line is at most 8 KiB behind most proxies; a longer token is an attack on the parser, not a session.
TOKEN_BYTES_MAX = 16_384
# Tokens up to this length are verified once and then remembered: a signature does not become wrong again.
REMEMBERED_BYTES_MAX = 4_096
# A project's container has no catalogue to ask.
_ANONYMOUS = re.compile(r"(proj_[0-9a-f]{16})_anon")


@dataclass(frozen=True)
class Identity:
    """Who a request is: the role it runs as, and the claims that policies read."""

    role: str
    claims: str
    authenticated: bool


def identify(header: str | None, config: DataConfig, now: Callable[[], float] = time.time) -> Identity:
    """Return the identity that an Authorization header proves; none means the anonymous role.

    Raises PgrstError: PGRST301 undecodable, PGRST303 claims refused, PGRST302 anonymous access disabled.
    """
    token = bearer_token(header)
    if token is None:
        if not config.db_anon_role:
            raise PgrstError("PGRST302", "Anonymous access is disabled", headers=(("WWW-Authenticate", "Bearer"),))
        return _anonymous(config)
    if opaque_keys.is_opaque(token):
        return _of_opaque_key(token, config)
    claims = decode_token(token, config, now)
    check_claims(claims, config.jwt_aud, now(), config.jwt_leeway)
    role = role_of(claims, config)
    if not role:
        raise PgrstError("PGRST302", "Anonymous access is disabled", headers=(("WWW-Authenticate", "Bearer"),))
    refuse_role_escape(role, config)
    # Who has proved to be nobody in particular may still sign in.
    return Identity(role, _claims_text(claims, role, config), authenticated=role != config.db_anon_role)


def _of_opaque_key(key: str, config: DataConfig) -> Identity:
    """Return who an opaque key stands for: the same as a token would that names its role and nobody."""
    named = opaque_keys.role_of(key, config.launchdb_api_keys)
    if named is None:
        raise _undecodable(*_WRONG_KEY)
    role = role_aliases(config.db_anon_role).get(named, named)
    return Identity(
        role, _claims_text({"iss": "launchdb", "role": named}, role, config), authenticated=role != config.db_anon_role
    )


def bearer_token(header: str | None) -> str | None:
    """Return the token of a Bearer header; another scheme is no identity of ours and is refused."""
    if header is None:
        return None
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise _undecodable("Only the Bearer scheme is accepted")
    return token.strip()


def decode_token(token: str, config: DataConfig, now: Callable[[], float] = time.time) -> dict[str, Any]:
    """Return the claims of a token whose signature holds, by a key that has not ended. Raises PgrstError."""
    if not token:
        raise _undecodable("Empty JWT is sent in Authorization header")
    if len(token) > TOKEN_BYTES_MAX:
        raise _undecodable("JWT is too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise _undecodable(f"Expected 3 parts in JWT; got {len(parts)}")
    if not tokens.verification_keys(config.jwt_secret, is_base64=config.jwt_secret_is_base64):
        raise PgrstError("PGRST300", "Server lacks JWT secret")
    read = _remembered if len(token) <= REMEMBERED_BYTES_MAX else _verified
    claims, until = read(token, config.jwt_secret, config.jwt_secret_is_base64)
    if now() >= until:
        raise _undecodable(*_WRONG_KEY)
    return claims


def check_claims(claims: dict[str, Any], audience: str, now: float, leeway: int) -> None:
    """Raise PgrstError unless the times, give or take `leeway` seconds, and the audience of a token allow it."""
    for name, message in (("exp", "JWT expired"), ("nbf", "JWT not yet valid"), ("iat", "JWT issued at future")):
        at = claims.get(name)
        if at is None:
            continue
        if isinstance(at, bool) or not isinstance(at, int | float):
            raise _refused(f"The JWT '{name}' claim must be a number")
        moment = int(at) if abs(at) < 2**62 else 0
        late = now - leeway > moment if name == "exp" else now + leeway < moment
        if late:
            raise _refused(message)
    _check_audience(claims.get("aud"), audience)


def _check_audience(given: Any, audience: str) -> None:
    audiences = [given] if isinstance(given, str) else given
    if audiences is None:
        return
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        raise _refused("The JWT 'aud' claim must be a string or an array of strings")
    if audience and audiences and audience not in audiences:
        raise _refused("JWT not in audience")


def role_of(claims: dict[str, Any], config: DataConfig) -> str:
    """Return the database role a token stands for.

    A token whose own claim is missing names one of the three API roles; those are the project's namesakes.
    """
    found = claim_path.find(config.jwt_role_claim_key, claims)
    if found is not None:
        return found if isinstance(found, str) else json.dumps(found)
    plain, own = claims.get("role"), role_aliases(config.db_anon_role)
    if own and config.jwt_role_claim_key != ".role" and isinstance(plain, str):
        return own.get(plain, plain)
    return config.db_anon_role


@functools.lru_cache(maxsize=1024)
def role_aliases(anon_role: str) -> dict[str, str]:
    """Return a project's roles by the names that clients use, told from its anonymous role; others have none."""
    found = _ANONYMOUS.fullmatch(anon_role)
    if found is None:
        return {}
    return {"anon": anon_role, "authenticated": f"{found[1]}_authenticated", "service_role": f"{found[1]}_service"}


def refuse_role_escape(role: str, config: DataConfig) -> None:
    """Raise PgrstError for names that Postgres would take, and that would leave the request with our login's rights."""
    if role == "none":
        raise PgrstError("22023", 'role "none" does not exist', status=401, headers=(("WWW-Authenticate", "Bearer"),))
    own = role_aliases(config.db_anon_role)
    if role == login_role(config.db_uri) or (own and role not in own.values()):
        raise PgrstError("42501", f'permission denied to set role "{role}"', status=403)


@functools.lru_cache(maxsize=1024)
def _anonymous(config: DataConfig) -> Identity:
    return Identity(config.db_anon_role, _claims_text({}, config.db_anon_role, config), authenticated=False)


def _claims_text(claims: dict[str, Any], role: str, config: DataConfig) -> str:
    if config.jwt_role_claim_key == ".role" or "role" not in claims:
        names = {full: plain for plain, full in role_aliases(config.db_anon_role).items()}
        claims = {**claims, "role": names.get(role, role)}
    text = json.dumps(claims, separators=(",", ":"), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which Postgres cannot hold
        raise _refused("Parsing claims failed") from None
    return text


_WRONG_KEY = ("No suitable key or wrong key type", "None of the keys was able to decode the JWT")
_WRONG_ALGORITHM = "Wrong or unsupported encoding algorithm"
_SAID: dict[str, tuple[str, str | None]] = {
    "malformed": ("JWT cryptographic operation failed", None),
    "critical": (_WRONG_ALGORITHM, "Critical header parameters are not supported"),
    "algorithm": (_WRONG_ALGORITHM, "JWT is unsecured or its algorithm is not accepted"),
    "signature": _WRONG_KEY,
}


def _verified(token: str, secret: str, is_base64: bool) -> tuple[dict[str, Any], float]:
    try:
        signed, until = tokens.signed_claims(token, tokens.verification_keys(secret, is_base64=is_base64))
    except tokens.SignatureRefused as error:
        raise _undecodable(*_SAID[error.why]) from None
    try:
        claims = json.loads(signed)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise _refused("Parsing claims failed")
    return claims, until


# Only what was verified is remembered, and its times are looked at with each request.
_remembered = functools.lru_cache(maxsize=1024)(_verified)


def _undecodable(message: str, details: str | None = None) -> PgrstError:
    return PgrstError("PGRST301", message, details, headers=(_invalid_token(message),))


def _refused(message: str) -> PgrstError:
    return PgrstError("PGRST303", message, headers=(_invalid_token(message),))


def _invalid_token(message: str) -> tuple[str, str]:
    return (
        "WWW-Authenticate",
        f'Bearer error="invalid_token", error_description="{message.replace(chr(34), chr(39))}"',
    )
