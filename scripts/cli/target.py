"""Where a command goes and as whom: the environment first, then the context file, then the local installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from config import surroundings
from config.installation import local_url
from scripts.cli.client import TIMEOUT_SECONDS, Client
from scripts.cli.credentials import BearerAuth, RefreshingAuth
from scripts.cli.errors import USAGE, CliError
from scripts.cli.operator import OperatorAuth
from scripts.cli.output import print_note

if TYPE_CHECKING:
    from config.client import ClientSettings
    from config.settings import Settings
    from infra.composition import Infra
    from scripts.cli.signin import ContextFile

PROBE_SECONDS = 2.0


def connect_client(settings: Settings, environment: ClientSettings, context_file: ContextFile) -> Client:
    """Return a signed-in client.

    LAUNCHDB_TOKEN wins over the tokens of `login`, those over the operator of the home folder. Without a URL the
    local installation is meant; while its API is down, the same code runs in this process. Raises CliError.
    """
    signed_in = context_file.read()
    url = (environment.url or (signed_in.url if signed_in and not environment.token else "")).rstrip("/")
    local = not url or (url == settings.base_url and not environment.url)
    meant = checked_url(url) or settings.base_url
    # What clients call it by may lead through a proxy that is not to be reached from here.
    url = local_url(settings) if local else meant
    world = _World(settings)
    auth: httpx.Auth
    if environment.token:
        auth = BearerAuth(environment.token)
    # A token goes to the installation that gave it and to no other.
    elif signed_in and signed_in.url.rstrip("/") in (meant, url):
        auth = RefreshingAuth(url, context_file)
    else:
        auth = OperatorAuth(world.open)
    if local and not is_launchdb(url):
        transport: dict[str, Any] = {"transport": _in_process(settings, world.open())}
    else:
        transport = {}
    http = httpx.Client(base_url=url, auth=auth, timeout=TIMEOUT_SECONDS, proxy=_proxy(url), **transport)
    return Client(http, close=world.close)


def anonymous_client(settings: Settings, url: str) -> Client:
    """Return a client that has signed nobody in yet."""
    if checked_url(url) or is_launchdb(local_url(settings)):
        meant = url or local_url(settings)
        return Client(httpx.Client(base_url=meant, timeout=TIMEOUT_SECONDS, proxy=_proxy(meant)))
    raise CliError(f"the API at {local_url(settings)} does not answer; start it with `launchdb up`")


def checked_url(url: str) -> str:
    """Return a URL that can be called. Raises CliError (2) for any other."""
    try:
        usable = not url or (httpx.URL(url).scheme in ("http", "https") and bool(httpx.URL(url).host))
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise CliError(f"{url} is not a URL of an installation; it begins with http:// or https://", USAGE)
    return url


def _proxy(url: str) -> str | None:
    """Return the proxy to ask for this URL. Raises CliError (2), which shows no password, if it cannot be used."""
    proxy = surroundings.proxy_for(url)
    if proxy is None:
        return None
    try:
        known = httpx.URL(proxy)
    except httpx.InvalidURL:  # its words may be a part of a password
        raise CliError("the proxy is not named by a URL; see http_proxy, https_proxy, all_proxy", USAGE) from None
    if known.scheme not in ("http", "https") or not known.host:
        shown = f"{known.scheme}://{known.host}"
        raise CliError(f"the proxy {shown} is none for HTTP; see http_proxy, https_proxy, all_proxy", USAGE)
    return proxy


def is_launchdb(url: str) -> bool:
    """Return whether a LaunchDB answers there."""
    try:
        found = httpx.get(f"{url}/api/health", timeout=PROBE_SECONDS).json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(found, dict) and found.get("service") == "platform-api"


def _in_process(settings: Settings, infra: Infra) -> httpx.BaseTransport:
    from app.factory import create_app  # noqa: PLC0415 - only who finds the API down pays for loading it

    print_note("the API is down; working in this process")
    return httpx.WSGITransport(app=create_app(settings, infra))


class _World:
    """The home folder's own servers, opened at most once and only when needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._infra: Infra | None = None

    def open(self) -> Infra:
        """Open them. Raises CliError when this home holds no installation."""
        if self._infra is None:
            self._infra = open_home(self._settings)
        return self._infra

    def close(self) -> None:
        """Close what was opened."""
        if self._infra is not None:
            self._infra.close()


def open_home(settings: Settings) -> Infra:
    """Open the servers of the home folder. Raises CliError when it holds no installation or may not be read."""
    if not settings.database_url:
        raise CliError(
            f"there is no installation in {settings.home} that you may read; start one with `launchdb up`, "
            "or name another with LAUNCHDB_HOME, LAUNCHDB_URL or `launchdb login`"
        )
    from infra.composition import Infra  # noqa: PLC0415 - most commands only talk to the API

    return Infra.open(settings, name="launchdb-cli")
