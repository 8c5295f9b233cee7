"""Who somebody is at a provider, in the words that all providers share."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.auth.oauth.kinds import ProjectProvider

# Standard claims that are shown as they are; what else there is stands among the custom ones.
_SHOWN = (
    "iss", "sub", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile",
    "picture", "website", "gender", "birthdate", "zoneinfo", "locale",
)  # fmt: skip
_OF_THE_TOKEN = frozenset(
    {"aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "c_hash", "s_hash", "jti", "auth_time", "acr", "amr", "sid",
     "email", "email_verified", "phone_number", "phone_number_verified", "updated_at", "ver", "uti", "rh", "aio"}
)  # fmt: skip
CUSTOM_BYTES_MAX, TEXT_MAX = 8192, 2048


@dataclass(frozen=True)
class ExternalAccount:
    """An account at a provider.

    id             as the provider calls it
    data           what is shown of it: identity_data
    email          its address in lower case, or ""
    is_verified    whether the provider vouches that the address is theirs
    access_token   the provider's, which apps may use there
    """

    provider: str
    id: str
    data: dict[str, Any] = field(repr=False)
    email: str = ""
    is_verified: bool = False
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)


def account_of_claims(provider: ProjectProvider, claims: Mapping[str, Any], **tokens: str) -> ExternalAccount:
    """Return the account that OpenID claims tell of."""
    email = _email(claims.get("email"))
    is_verified = bool(email) and _vouches(provider, claims)
    data: dict[str, Any] = {name: _short(claims[name]) for name in _SHOWN if claims.get(name) is not None}
    data |= _common(str(claims["sub"]), email, is_verified=is_verified)
    for ours, theirs in (("full_name", "name"), ("avatar_url", "picture"), ("user_name", "preferred_username")):
        if data.get(theirs):
            data[ours] = data[theirs]
    custom = {name: value for name, value in claims.items() if name not in _SHOWN and name not in _OF_THE_TOKEN}
    if custom and len(json.dumps(custom)) <= CUSTOM_BYTES_MAX:
        data["custom_claims"] = custom
    return ExternalAccount(provider.name, str(claims["sub"]), data, email, is_verified, **tokens)


def account_of_github(
    provider: ProjectProvider, user: Mapping[str, Any], addresses: Any, **tokens: str
) -> ExternalAccount:
    """Return the account that GitHub tells of. addresses: the list of its own, of which one is the main one."""
    listed = [each for each in addresses if isinstance(each, dict)] if isinstance(addresses, list) else []
    main = next((each for each in listed if each.get("primary") is True), {})
    email = _email(main.get("email"))
    is_verified = bool(email) and main.get("verified") is True
    return _plain_account(provider, user, email, is_verified=is_verified, login="login", **tokens)


def account_of_gitlab(provider: ProjectProvider, user: Mapping[str, Any], **tokens: str) -> ExternalAccount:
    """Return the account that GitLab tells of: it names an address once it is confirmed, and says since when."""
    email = _email(user.get("email"))
    is_verified = bool(email) and bool(user.get("confirmed_at"))
    return _plain_account(provider, user, email, is_verified=is_verified, login="username", **tokens)


def _plain_account(
    provider: ProjectProvider, user: Mapping[str, Any], email: str, *, is_verified: bool, login: str, **tokens: str
) -> ExternalAccount:
    number = user.get("id")
    if isinstance(number, bool) or not isinstance(number, int | str) or not str(number):
        raise Refused("the provider does not say who this is")
    data = {"iss": provider.api, "sub": str(number), **_common(str(number), email, is_verified=is_verified)}
    named = {
        "name": user.get("name"),
        "full_name": user.get("name"),
        "avatar_url": user.get("avatar_url"),
        "user_name": user.get(login),
        "preferred_username": user.get(login),
    }
    data |= {name: _short(value) for name, value in named.items() if isinstance(value, str) and value}
    return ExternalAccount(provider.name, str(number), data, email, is_verified, **tokens)


def _common(account_id: str, email: str, *, is_verified: bool) -> dict[str, Any]:
    said = {"email": email, "email_verified": is_verified} if email else {"email_verified": False}
    return {"provider_id": account_id, "phone_verified": False, **said}


def _vouches(provider: ProjectProvider, claims: Mapping[str, Any]) -> bool:
    """Return whether the provider vouches for the address that it tells."""
    if provider.name == "azure":
        # An address of Azure is what an administrator has typed, unless the owner of the domain is known to be theirs.
        owned = claims.get("xms_edov")
        return owned in (True, 1, "1", "true") or (not provider.takes_in_strangers and owned is None)
    said = claims.get("email_verified")
    return said is True or said == "true"


def _email(value: Any) -> str:
    found = value.strip().lower() if isinstance(value, str) else ""
    fits = 3 <= len(found) <= 255 and found.count("@") == 1 and found.isprintable() and " " not in found
    return found if fits else ""


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")[:TEXT_MAX]
    return value if isinstance(value, bool | int | float) else str(value)[:TEXT_MAX]
