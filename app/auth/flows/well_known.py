"""/.well-known: what others verify a project's tokens by. The server of OAuth that it would lead to is not there."""

from __future__ import annotations

from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from infra.secrets import tokens

# A new key is published before it signs, and has to be known by then to those who keep what they read.
KEPT_SECONDS = 600
CACHED = (("Cache-Control", f"public, max-age={KEPT_SECONDS}"),)


def jwks(call: AuthCall) -> AuthAnswer:
    """Answer the public keys; of a symmetric key nothing is public."""
    return AuthAnswer({"keys": tokens.public_keys(call.project.spec.jwt_secret, call.services.clock())}, headers=CACHED)


def openid_configuration(call: AuthCall) -> AuthAnswer:
    """Answer who issues the tokens, and where the keys are."""
    issuer = call.project.issuer
    keys = tokens.public_keys(call.project.spec.jwt_secret, call.services.clock())
    return AuthAnswer(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/oauth/authorize",
            "token_endpoint": f"{issuer}/oauth/token",
            "userinfo_endpoint": f"{issuer}/oauth/userinfo",
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "scopes_supported": ["openid", "profile", "email", "phone"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key["alg"] for key in keys} | {"HS256"}),
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "claims_supported": [
                "sub", "aud", "iss", "exp", "iat", "auth_time", "nonce", "email", "email_verified", "phone_number",
                "phone_number_verified", "name", "picture", "preferred_username", "updated_at",
            ],
            "code_challenge_methods_supported": ["S256", "plain"],
        },
        headers=CACHED,
    )  # fmt: skip


ROUTES = (
    AuthRoute("GET", "/.well-known/jwks.json", "open", jwks),
    AuthRoute("GET", "/.well-known/openid-configuration", "open", openid_configuration),
)
