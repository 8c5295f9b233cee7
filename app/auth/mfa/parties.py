"""Which domain and pages a project's credentials are for: as its settings say, or as its application's address does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.auth.errors import validation_error
from app.auth.mfa.ceremonies import RelyingParty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.auth.serve.project import AuthProject

ORIGINS_MAX, TEXT_MAX = 20, 300


def of_project(project: AuthProject) -> RelyingParty | None:
    """Return the party of the project's settings, or None where neither they nor an address name one."""
    chosen = project.settings
    site = urlsplit(chosen.site_url)
    domain = chosen.webauthn_domain or site.hostname or ""
    origins = tuple(chosen.webauthn_origins) or ((f"{site.scheme}://{site.netloc}",) if site.netloc else ())
    return RelyingParty(domain, origins, chosen.webauthn_name) if domain and origins else None


def of_request(project: AuthProject, asked: Mapping[str, Any] | None) -> RelyingParty:
    """Return the party that a client names for a factor; where the project names one, only that. Raises AuthError."""
    own = of_project(project)
    given = asked or {}
    domain, origins = given.get("rpId"), given.get("rpOrigins")
    if domain is None and own is not None:
        return own
    if isinstance(origins, str):
        origins = [each.strip() for each in origins.split(",")]
    if not isinstance(domain, str) or not 0 < len(domain) <= TEXT_MAX:
        raise validation_error("web_authn config required: rpId and rpOrigins")
    origins = [f"https://{domain}"] if origins is None else origins
    if not isinstance(origins, list) or not 0 < len(origins) <= ORIGINS_MAX:
        raise validation_error("web_authn config required: rpOrigins is a list of origins")
    if not all(isinstance(origin, str) and _belongs(origin, domain) for origin in origins):
        raise validation_error("rpOrigins has to be origins of pages at rpId or below it")
    if project.settings.webauthn_domain and (own is None or domain != own.id or not set(origins) <= set(own.origins)):
        raise validation_error("the project has another rpId, or other rpOrigins")
    return RelyingParty(domain, tuple(origins), project.settings.webauthn_name)


def _belongs(origin: str, domain: str) -> bool:
    try:
        place = urlsplit(origin)
        host = place.hostname or ""
    except ValueError:
        return False
    return (
        len(origin) <= TEXT_MAX
        and place.scheme in ("https", "http")
        and (host == domain or host.endswith(f".{domain}"))
    )
