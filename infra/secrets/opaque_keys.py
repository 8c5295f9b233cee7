"""Opaque API keys as those see them who check one: a role for each, found by the key's hash."""

from __future__ import annotations

import functools
import hashlib

PREFIX = "sb_"


def is_opaque(token: str) -> bool:
    """Return whether a token has the form of an opaque key, rather than that of a JWT."""
    return token.startswith(PREFIX)


def is_opaque_bearer(header: str) -> bool:
    """Return whether an Authorization header bears an opaque key."""
    scheme, _, token = header.strip().partition(" ")
    return scheme.lower() == "bearer" and is_opaque(token.strip())


def digest(key: str) -> str:
    """Return the hash by which a key is known. The key is random enough that a plain hash tells nothing of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def role_of(key: str, accepted: tuple[str, ...]) -> str | None:
    """Return the role, by the name that all projects share, that a key stands for; None for a key that is not good.

    accepted  `role:hash` of each key that is
    """
    return _by_digest(accepted).get(digest(key))


@functools.lru_cache(maxsize=1024)
def _by_digest(accepted: tuple[str, ...]) -> dict[str, str]:
    return {hashed: role for role, _, hashed in (each.partition(":") for each in accepted)}
