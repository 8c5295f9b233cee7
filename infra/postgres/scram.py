"""SCRAM-SHA-256 verifiers, made here so that no password stands in a statement or a server's log."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode

# The server tries each new verifier against the empty password, at its rounds: most of what CREATE ROLE costs.
# Rounds slow guessing down, and a random password of 256 bits cannot be guessed. JDBC refuses less than 4,096.
FEW_ROUNDS = 1
CLIENT_ROUNDS = 4096
SALT_BYTES = 16
MOST_PROVEN = 20_000
_PROVEN: set[bytes] = set()
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+", re.ASCII)


def verifier(password: str, *, rounds: int, salt: bytes | None = None) -> str:
    """Return what CREATE ROLE … PASSWORD takes in place of `password`, which must be plain ASCII."""
    if not (password.isascii() and password.isprintable()):
        raise ValueError("a password that is not plain ASCII would need SASLprep")
    salt = salt or secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${rounds}:{_text(salt)}${_text(stored)}:{_text(server)}"


def matches(known: str | None, password: str) -> bool:
    """Return whether a verifier, as the catalogue holds it, is one of this password."""
    parts = _VERIFIER.fullmatch(known or "")
    if known is None or parts is None:
        return False
    # Whoever looks at every project again and again pays for the rounds once. What is kept opens nothing.
    digest = hashlib.sha256(f"{known}\0{password}".encode()).digest()
    if digest in _PROVEN:
        return True
    expected = verifier(password, rounds=int(parts[1]), salt=b64decode(parts[2]))
    if not hmac.compare_digest(known.encode(), expected.encode()):
        return False
    if len(_PROVEN) >= MOST_PROVEN:
        _PROVEN.clear()
    _PROVEN.add(digest)
    return True


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
