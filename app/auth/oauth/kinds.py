"""The providers that are known by name: where each is, what is asked of it, and what it does in its own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.auth.errors import AuthError, validation_error

if TYPE_CHECKING:
    from app.auth.serve.project import AuthProject
    from catalog.settings_auth import OAuthProvider

OPENID = ("openid", "email", "profile")
AZURE = "https://login.microsoftonline.com/"
# Issuers of Azure that let in accounts of any organisation: what those say of addresses, nobody has verified.
_MANY_TENANTS = ("common", "organizations", "consumers")


@dataclass(frozen=True)
class ProviderKind:
    """What is usual with a provider.

    issuer       where it is; "" where the project has to say
    scopes       that are always asked for
    form_post    whether it sends people back by a form
    other_names  by which its tokens call the issuer as well
    endpoints    authorization, token, user, addresses: of one that is no OpenID provider, below its issuer
    api          where the last two are, when that is not below the issuer
    """

    issuer: str = ""
    scopes: tuple[str, ...] = OPENID
    form_post: bool = False
    other_names: tuple[str, ...] = ()
    endpoints: tuple[str, str, str, str] | None = None
    api: str = ""


KINDS: dict[str, ProviderKind] = {
    "apple": ProviderKind("https://appleid.apple.com", ("openid", "email", "name"), form_post=True),
    "azure": ProviderKind(f"{AZURE}common/v2.0"),
    "google": ProviderKind("https://accounts.google.com", other_names=("accounts.google.com",)),
    "kakao": ProviderKind("https://kauth.kakao.com", ("openid", "account_email", "profile_nickname", "profile_image")),
    "keycloak": ProviderKind(),
    "linkedin_oidc": ProviderKind("https://www.linkedin.com/oauth", other_names=("https://www.linkedin.com",)),
    "slack_oidc": ProviderKind("https://slack.com"),
    "github": ProviderKind(
        "https://github.com",
        ("user:email",),
        endpoints=("/login/oauth/authorize", "/login/oauth/access_token", "/user", "/user/emails"),
        api="https://api.github.com",
    ),
    "gitlab": ProviderKind(
        "https://gitlab.com", ("read_user",), endpoints=("/oauth/authorize", "/oauth/token", "/api/v4/user", "")
    ),
}


@dataclass(frozen=True)
class ProjectProvider:
    """A provider as one project uses it. secret: what the project is known by there, besides its client id."""

    name: str
    kind: ProviderKind
    settings: OAuthProvider
    secret: str = field(repr=False)

    @property
    def issuer(self) -> str:
        """Where it is, without a slash at its end."""
        return (self.settings.issuer or self.kind.issuer).rstrip("/")

    @property
    def audiences(self) -> tuple[str, ...]:
        """For whom its ID tokens may be made out."""
        return (self.settings.client_id, *self.settings.client_ids)

    @property
    def api(self) -> str:
        """Where a provider without OpenID tells who somebody is."""
        if not self.settings.issuer:
            return self.kind.api or self.issuer
        return f"{self.issuer}/api/v3" if self.kind.api else self.issuer

    @property
    def takes_in_strangers(self) -> bool:
        """Whether it lets in accounts of organisations that may write any address into them."""
        parts = urlsplit(self.issuer)
        return self.name == "azure" and parts.path.strip("/").partition("/")[0] in _MANY_TENANTS

    def scopes(self, asked: str) -> str:
        """Return what is asked for: the usual, what the project wants, and what this request does."""
        return " ".join(dict.fromkeys([*self.kind.scopes, *self.settings.scopes.split(), *asked.split()]))


def provider_of(project: AuthProject, name: str) -> ProjectProvider:
    """Return a provider that people can sign in with. Raises AuthError (400)."""
    found = project.settings.oauth_providers.get(name)  # type: ignore[call-overload]
    if not name or name not in KINDS:
        raise validation_error(f"Unsupported provider: Provider {name} could not be found")
    if found is None or not found.enabled:
        raise AuthError(400, "validation_failed", "Unsupported provider: provider is not enabled")
    return ProjectProvider(name, KINDS[name], found, project.spec.secrets.get(f"oauth_secret_{name}", ""))
