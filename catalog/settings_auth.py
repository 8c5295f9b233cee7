"""Parts of a project's settings that Auth reads: accounts at other providers, captchas, functions that it calls."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from catalog import settings_text as text

# Every name that Supabase's clients may find among the ways in, whether it can be set here or not.
EXTERNAL_PROVIDERS = (
    "apple", "azure", "bitbucket", "discord", "facebook", "figma", "fly", "github", "gitlab", "google", "kakao",
    "keycloak", "linkedin", "linkedin_oidc", "notion", "slack", "slack_oidc", "snapchat", "spotify", "twitch",
    "twitter", "x", "workos", "zoom",
)  # fmt: skip
ProviderName = Literal[
    "apple", "azure", "github", "gitlab", "google", "kakao", "keycloak", "linkedin_oidc", "slack_oidc"
]
_ISSUER = re.compile(r"https?://[!-.0-\[\]^-~]+(/[!-\[\]^-~]*)?")
_NAME = r'(?:[A-Za-z_][A-Za-z0-9_$]{0,62}|"[^"\x00-\x1f]{1,63}")'
_FUNCTION = re.compile(rf"(?:pg-functions://postgres/({_NAME})/({_NAME})|({_NAME})\.({_NAME}))")


def provider_address(value: str) -> str:
    """Return the address of a provider, or nothing for its usual one. Raises ValueError."""
    if not value:
        return value
    parts = urlsplit(value)
    if _ISSUER.fullmatch(value) is None or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be the address of a provider such as https://id.example.org/realms/shop")
    return value


def function(value: str) -> str:
    """Return the name of a function in the database, or nothing. Raises ValueError."""
    if value and _FUNCTION.fullmatch(value) is None:
        raise ValueError("must name a function: schema.function, or pg-functions://postgres/schema/function")
    return value


def function_parts(value: str) -> tuple[str, str]:
    """Return schema and name of a function as `function` takes it."""
    found = _FUNCTION.fullmatch(value)
    if found is None:
        raise ValueError("it names no function")
    schema, name = (part for part in found.groups() if part is not None)
    return _unquoted(schema), _unquoted(name)


def _unquoted(name: str) -> str:
    # As Postgres folds what stands without quotes.
    return name[1:-1] if name.startswith('"') else name.lower()


Line = Annotated[str, AfterValidator(text.line)]
Function = Annotated[str, AfterValidator(function), Field(max_length=200)]


class OAuthProvider(BaseModel):
    """An account at one provider, with which people sign in.

    client_id         what the project is there
    client_ids        further ones (of its apps), for which ID tokens may be made out
    issuer            where it is, when not at its usual place
    scopes            asked for besides the usual ones, with spaces between
    team_id, key_id   Apple's, with which the secret (the key's PEM) signs a client secret for each use
    skip_nonce_check  whether ID tokens of apps pass whose nonce nobody can tell
    email_optional    whether accounts without an address are let in
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )

    enabled: bool = True
    client_id: Annotated[Line, Field(min_length=1, max_length=1024)]
    client_ids: Annotated[list[Annotated[Line, Field(min_length=1, max_length=1024)]], Field(max_length=20)] = []
    issuer: Annotated[str, AfterValidator(provider_address), Field(max_length=2048)] = ""
    scopes: Annotated[Line, Field(max_length=1000)] = ""
    team_id: Annotated[Line, Field(max_length=100)] = ""
    key_id: Annotated[Line, Field(max_length=100)] = ""
    skip_nonce_check: bool = False
    email_optional: bool = False
