"""What OpenID providers publish: their endpoints and their keys, kept for a while."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.auth.oauth.kinds import AZURE
from infra.errors import Refused

if TYPE_CHECKING:
    from app.auth.oauth.kinds import ProjectProvider
    from infra.outbound.http import Outbound

KEEP_SECONDS, NEW_KEY_SECONDS = 600.0, 30.0
DOCUMENTS_MAX = 500
_ANY_TENANT = "{tenantid}"


@dataclass(frozen=True)
class Metadata:
    """What a provider says of itself.

    issuer        as its ID tokens name it; `{tenantid}` stands for the claim `tid`
    names_issuer  whether it says who it is when it sends people back (RFC 9207)
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    basic: bool = True
    names_issuer: bool = False


class ProviderDocuments:
    """Fetches and keeps what providers publish. Safe to use from many threads."""

    def __init__(self, outbound: Outbound) -> None:
        self.outbound = outbound
        self._kept: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def metadata(self, provider: ProjectProvider) -> Metadata:
        """Return what an OpenID provider says of itself. Raises Refused, Unavailable."""
        return _metadata(provider, self._get(f"{provider.issuer}/.well-known/openid-configuration", KEEP_SECONDS))

    def keys(self, uri: str, kid: str | None) -> dict[str, Any]:
        """Return a provider's keys, asked for anew when a key is not among them. Raises Refused, Unavailable."""
        found = _key_set(self._get(uri, KEEP_SECONDS))
        if kid is not None and all(key.get("kid") != kid for key in found["keys"]):
            found = _key_set(self._get(uri, NEW_KEY_SECONDS))
        return found

    def _get(self, url: str, seconds: float) -> Any:
        with self._lock:
            kept = self._kept.get(url)
        if kept is not None and time.monotonic() - kept[0] < seconds:
            return kept[1]
        found = self.outbound.get_json(url)
        with self._lock:
            self._kept[url] = (time.monotonic(), found)
            self._kept.move_to_end(url)
            while len(self._kept) > DOCUMENTS_MAX:
                self._kept.popitem(last=False)
        return found


def _metadata(provider: ProjectProvider, found: Any) -> Metadata:
    needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in needed):
        raise Refused("the provider's configuration is not whole")
    issuer = found["issuer"].rstrip("/")
    usual = issuer == provider.issuer or issuer in provider.kind.other_names
    if not usual and not (issuer.startswith(AZURE) and provider.issuer.startswith(AZURE) and _ANY_TENANT in issuer):
        raise Refused("the provider calls itself by another issuer")
    methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    userinfo = found.get("userinfo_endpoint")
    return Metadata(
        issuer,
        found["authorization_endpoint"],
        found["token_endpoint"],
        found["jwks_uri"],
        userinfo_endpoint=userinfo if isinstance(userinfo, str) else "",
        basic="client_secret_basic" in methods,
        names_issuer=found.get("authorization_response_iss_parameter_supported") is True,
    )


def _key_set(found: Any) -> dict[str, Any]:
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise Refused("the provider's keys are no set of keys")
    return {"keys": [key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig"]}
