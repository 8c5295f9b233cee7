"""How the machine calls its own public URL: through Caddy on loopback, whatever DNS says; certificates are checked."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from infra.errors import InfraError, Unavailable

if TYPE_CHECKING:
    from config.settings import Settings

LOOPBACK = "127.0.0.1"
AUTHORITY = "caddy/data/pki/authorities/local/root.crt"


class ThroughCaddy(httpx.HTTPTransport):
    """Sends what is meant for the public name to Caddy's port on this machine; name and certificate stay checked."""

    def __init__(
        self, settings: Settings, verify: ssl.SSLContext | bool, *, address: str = LOOPBACK, **more: Any
    ) -> None:
        super().__init__(verify=verify, retries=0, **more)
        self._address = address
        self._host = urlsplit(settings.base_url).hostname
        plain = settings.tls == "off"
        self._scheme = "http" if plain else "https"
        self._port = settings.http_port if plain else settings.https_port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        if request.url.host != self._host:
            return super().handle_request(request)
        # The Host header was made of the URL; it goes along as it is.
        return super().handle_request(
            httpx.Request(
                request.method,
                request.url.copy_with(scheme=self._scheme, host=self._address, port=self._port),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": self._host},
            )
        )


def transport(settings: Settings) -> httpx.BaseTransport:
    """Return the transport for this installation; a plain one where nothing stands before the API.

    Raises Unavailable when Caddy's own authority cannot be asked for its certificate.
    """
    if settings.runtime == "embedded":
        return httpx.HTTPTransport()
    return ThroughCaddy(settings, trust(settings))


def trust(settings: Settings) -> ssl.SSLContext | bool:
    """Return what checks the certificate: the system's authorities, or Caddy's own one."""
    if settings.tls != "internal":
        return True
    return ssl.create_default_context(cadata=authority(settings))


def authority(settings: Settings) -> str:
    """Return the certificate of Caddy's own authority (PEM). Raises Unavailable before Caddy has made it."""
    path = settings.home / AUTHORITY
    try:
        return path.read_text()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}; Caddy makes it when it starts") from error


def client(settings: Settings, **more: Any) -> httpx.Client:
    """Return a client whose paths are under the public URL. Raises Unavailable."""
    return httpx.Client(base_url=settings.base_url, transport=transport(settings), **{"timeout": 90, **more})


def answers(settings: Settings, path: str = "/api/ready") -> bool:
    """Return whether the installation answers 200 there."""
    try:
        with client(settings, timeout=5) as http:
            return http.get(path).status_code == httpx.codes.OK
    except (InfraError, httpx.HTTPError, ssl.SSLError):
        return False
