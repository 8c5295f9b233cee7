"""Caddy at the edge: its file is rendered whole, checked by Caddy itself, replaced atomically, loaded and read back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infra.errors import Refused
from infra.render import render

if TYPE_CHECKING:
    from config.settings import Settings

TEMPLATE = "Caddyfile"
KEPT = 5
ANSWER_SECONDS = 20.0
MIB = 1024 * 1024
# A proxy's limit stands behind those of the services: what is little more is theirs to refuse in their own words.
MORE_BYTES = 64 * 1024
MOST_DATA_BYTES, MOST_FILE_BYTES = 20 * MIB, 5120 * MIB
HELD_SECONDS = 30
# Query parameters that hold a secret, and those whose name is hidden by an encoding.
HIDDEN_VALUES = "(?i)([?&](?:apikey|[^=&]*token[^=&]*|code|secret|password|signature|jwt|[^=&]*%[^=&]*)=)[^&]*"
KEY_IN_QUERY = "^(?:.*&)?((?i:apikey)=([^&]+))(?:&.*)?$"


@dataclass(frozen=True)
class Upstreams:
    """Where the services are, as Caddy reaches them."""

    platform: str = "platform-api:8000"
    auth: str = "auth-service:8001"
    storage_service: str = "storage-service:8003"


class Proxy:
    """What Caddy is told, and what it says. Its administration is a Unix socket, for the owner of the home alone."""

    def __init__(self, settings: Settings, upstreams: Upstreams | None = None) -> None:
        self._settings = settings
        self._upstreams = upstreams or Upstreams()
        self.file = settings.home / "caddy" / "Caddyfile"
        self.socket = settings.run_folder / "caddy" / "admin.sock"

    def text(self) -> str:
        """Return the configuration as the settings want it. Raises Refused."""
        settings = self._settings
        if settings.tls != "off" and not settings.domain:
            raise Refused("DOMAIN is needed for a certificate; without TLS set LAUNCHDB_TLS=off")
        for name, value in (("DOMAIN", settings.domain), ("ACME_EMAIL", settings.acme_email)):
            if any(letter.isspace() or letter in "{}\"`'#,/\\" for letter in value):
                raise Refused(f"{name} holds a character that no such name has")
        return render(TEMPLATE, self._values())

    def _values(self) -> dict[str, Any]:
        settings = self._settings
        return {
            **asdict(self._upstreams),
            "admin_socket": str(self.socket),
            "storage": str(settings.home / "caddy" / "data"),
            "projects": str(settings.run_folder / "projects"),
            "http_port": settings.http_port,
            "https_port": settings.https_port,
            "tls": settings.tls,
            "domain": settings.domain,
            "acme_email": settings.acme_email,
            "api_bytes": settings.max_body_bytes + MORE_BYTES,
            "data_bytes": MOST_DATA_BYTES + MORE_BYTES,
            "storage_bytes": MOST_FILE_BYTES + MIB,
            "held_seconds": HELD_SECONDS,
            "secret_values": HIDDEN_VALUES,
            "key_in_query": KEY_IN_QUERY,
        }
