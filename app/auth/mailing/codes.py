"""Codes that people type, and the hashes that stand in links and in the database, in the reference's way."""

from __future__ import annotations

import secrets
from hashlib import sha224

from app.auth.pkce import PREFIX


def make_code(length: int) -> str:
    """Return a code of so many digits."""
    return "".join(secrets.choice("0123456789") for _ in range(length))


def hash_of(email: str, code: str, *, pkce: bool = False) -> str:
    """Return what stands for a code that was mailed to this address: the link holds it, the database too."""
    return (PREFIX if pkce else "") + sha224((email + code).encode()).hexdigest()


def hashes_of(email: str, code: str) -> tuple[str, str]:
    """Return both hashes that a code typed by somebody may have, of a flow with PKCE or without."""
    plain = hash_of(email, code)
    return plain, PREFIX + plain
