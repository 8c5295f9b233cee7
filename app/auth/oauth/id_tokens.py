"""ID tokens of providers: by whom, for whom and when they were made out, and whose key signed them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joserfc.jwk import KeySetSerialization

    from app.auth.oauth.documents import Metadata, ProviderDocuments
    from app.auth.oauth.kinds import ProjectProvider

# None that is made with a shared secret: the provider's published keys are to vouch for it.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_SECONDS = 60
LONGEST = 16_384
CLIENT_SECRET_SECONDS = 300


class IdTokenRefused(Refused):
    """The token is not the provider's, not for us, or no longer good."""


@dataclass(frozen=True)
class Expected:
    """What an ID token has to say.

    audiences     for one of which it has to be made out
    party         who has to have asked for it, where it says so; "": anybody, as with the apps of a project
    nonce         that it has to have; None: whatever it has
    access_token  that came with it, whose hash it may hold
    """

    audiences: Sequence[str]
    party: str = ""
    nonce: str | None = None
    access_token: str = field(default="", repr=False)


def verified(
    documents: ProviderDocuments, provider: ProjectProvider, token: str, expected: Expected, now: float
) -> dict[str, Any]:
    """Return the claims of an ID token that is as expected.

    Raises IdTokenRefused; Refused, Unavailable when the provider's keys are not to be had.
    """
    metadata = documents.metadata(provider)
    header, claims = _signed(documents, metadata, token)
    _check_issuer(metadata, provider, claims)
    audience = claims.get("aud")
    meant = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    if not any(each in meant for each in expected.audiences):
        raise IdTokenRefused("Unacceptable audience in id_token")
    wanted = {"client_id": expected.party, "nonce": expected.nonce, "access_token": expected.access_token}
    found = CodeIDToken(claims, header, {}, wanted)
    try:
        found.validate(now=int(now), leeway=LEEWAY_SECONDS)
    except (JoseError, ValueError, TypeError) as error:
        raise IdTokenRefused(f"Bad ID token ({error})") from error
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise IdTokenRefused("Bad ID token (sub)")
    return claims


def _signed(documents: ProviderDocuments, metadata: Metadata, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(token) > LONGEST:
        raise IdTokenRefused("Bad ID token (too long)")
    registry = jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
    try:
        header = jws.extract_compact(token.encode()).headers()
        keys = KeySet.import_key_set(cast("KeySetSerialization", documents.keys(metadata.jwks_uri, header.get("kid"))))
        found = jwt.decode(token, keys, registry=registry)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise IdTokenRefused(f"Bad ID token (signature: {type(error).__name__})") from error
    return dict(found.header), dict(found.claims)


def _check_issuer(metadata: Metadata, provider: ProjectProvider, claims: dict[str, Any]) -> None:
    named = str(claims.get("iss")).rstrip("/")
    wanted = metadata.issuer.replace("{tenantid}", str(claims.get("tid")))
    if named != wanted and named not in provider.kind.other_names:
        raise IdTokenRefused("Unacceptable issuer in id_token")


def client_secret(provider: ProjectProvider, now: float) -> str:
    """Return what we are known by at the provider: the secret, or what Apple has a key sign instead. Raises Refused."""
    settings = provider.settings
    if not (settings.team_id and settings.key_id):
        return provider.secret
    begun = int(now)
    claims = {
        "iss": settings.team_id,
        "sub": settings.client_id,
        "aud": provider.issuer,
        "iat": begun,
        "exp": begun + CLIENT_SECRET_SECONDS,
    }
    try:
        key = ECKey.import_key(provider.secret)
        return jwt.encode({"alg": "ES256", "kid": settings.key_id}, claims, key)
    except (JoseError, ValueError, TypeError) as error:
        raise Refused("the secret of this provider is no EC key in PEM") from error
