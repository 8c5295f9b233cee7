"""Where Auth may send people: to the application's own site, and to what the project has listed."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.auth.serve.call import AuthCall
    from catalog.settings_model import ProjectSettings

LONGEST = 4096
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_NEVER = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
# Any of these ends what a browser takes for the host, or is dropped by it, and not by others.
_STRANGE = re.compile(r"[\x00-\x20\x7f\\]")


def redirect_of(call: AuthCall) -> str:
    """Return where to send people to after this request: where it asks for, where it came from, or to the site."""
    asked = (call.headers.get("redirect_to"), call.query.get("redirect_to"), call.headers.get("Referer"))
    return next(
        (url for url in asked if url and is_allowed(call.project.settings, url)), call.project.settings.site_url
    )


def is_allowed(settings: ProjectSettings, url: str) -> bool:
    """Return whether people may be sent to this address."""
    parts = _split(url)
    if parts is None:
        return False
    if _is_site(settings.site_url, parts):
        return True
    host = parts.hostname or ""
    if host.isdigit():  # an address in one number, as some resolvers take it
        return False
    if _is_address(host):
        if not ip_address(host).is_loopback:
            return False
    elif parts.scheme in ("http", "https") and _HOST.fullmatch(host) is None:
        return False
    return any(_fits(glob, parts, url.partition("#")[0]) for glob in settings.redirect_urls)


def with_fragment(url: str, members: Sequence[tuple[str, str]]) -> str:
    """Return the address with these in the place of its fragment. An empty `sb` at the end says whose answer it is."""
    return f"{url.partition('#')[0]}#{urlencode([*members, ('sb', '')])}"


def with_query(url: str, members: Sequence[tuple[str, str]]) -> str:
    """Return the address with these in its query, in the place of what has these names."""
    rest, hash_sign, fragment = url.partition("#")
    path, _, query = rest.partition("?")
    named = {name for name, _ in members}
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in named]
    return f"{path}?{urlencode([*kept, *members])}{hash_sign}{fragment}"


def header_of(url: str) -> str:
    """Return the address as a header can hold it."""
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~-._")


def _split(url: str) -> SplitResult | None:
    if len(url) > LONGEST or _STRANGE.search(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if _SCHEME.fullmatch(parts.scheme) is None or parts.scheme in _NEVER or "@" in parts.netloc:
        return None
    return parts


def _is_site(site: str, parts: SplitResult) -> bool:
    own = _split(site) if site else None
    if own is None or (own.scheme, own.hostname) != (parts.scheme, parts.hostname):
        return False
    # A program on somebody's own machine listens where it can (RFC 8252, 7.3).
    return own.port == parts.port or own.hostname in _LOCAL


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _fits(glob: str, parts: SplitResult, url: str) -> bool:
    if _pattern(glob).fullmatch(url) is None:
        return False
    scheme, _, rest = glob.partition("://")
    # What stands for the host there has to be the host here, and not a query that looks like the end of one.
    return scheme not in ("http", "https") or _pattern(rest.partition("/")[0]).fullmatch(parts.netloc) is not None


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    """Return what a listed address stands for: `*` for all but dots and slashes, `**` for anything, `?` for one."""
    made, left = "", glob
    while left:
        if left.startswith("**"):
            made, left = made + ".*", left.lstrip("*")
        elif left[0] == "*":
            made, left = made + "[^./]*", left[1:]
        elif left[0] == "?":
            made, left = made + "[^./]", left[1:]
        else:
            made, left = made + re.escape(left[0]), left[1:]
    return re.compile(made, re.DOTALL)
