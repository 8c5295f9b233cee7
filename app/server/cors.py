"""CORS: what browsers may call, on every answer, errors included."""

from __future__ import annotations

METHODS = "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD"
REQUEST_HEADERS = (
    "authorization, apikey, content-type, x-client-info, x-supabase-api-version, accept, accept-profile, "
    "content-profile, prefer, range, range-unit, x-upsert, x-metadata, cache-control, x-retry-count, if-none-match, "
    "tus-resumable, upload-length, upload-offset, upload-metadata"
)
EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, "
    "Range-Unit, Link, X-Total-Count, X-Supabase-Api-Version, Content-Disposition, ETag, Accept-Ranges, "
    "Preference-Applied, Proxy-Status, Retry-After"
)


def headers(origin: str | None, allowed: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the headers for an answer to a browser. No origin: none. Keys travel in headers, never in cookies."""
    if origin is None:
        return []
    if not allowed:
        return [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", EXPOSED)]
    if origin not in allowed:
        return [("Vary", "Origin")]
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
        ("Access-Control-Expose-Headers", EXPOSED),
    ]


def preflight(asked: str | None) -> list[tuple[str, str]]:
    """Return what a preflight adds: any header that is asked for by a plain name, besides the usual ones.

    asked: `*` where it was not read which, which stands for all of them.
    """
    names = [name.strip() for name in (asked or "").split(",")]
    extra = [name for name in names if name == "*" or _is_plain(name)]
    known = REQUEST_HEADERS.split(", ")
    listed = [*known, *(name for name in extra[:50] if name.lower() not in known)]
    return [
        ("Access-Control-Allow-Methods", METHODS),
        ("Access-Control-Allow-Headers", ", ".join(listed)),
        ("Access-Control-Max-Age", "86400"),
    ]


def _is_plain(name: str) -> bool:
    return name.replace("-", "").isalnum() and name.isascii() and len(name) <= 64
