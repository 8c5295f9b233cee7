"""Password hashes that users bring along from elsewhere: bcrypt, and Firebase's scrypt. None is made here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

import bcrypt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# What one may cost to check: about as much as the dearest that anybody is known to use.
BCRYPT_ROUNDS_MAX, SCRYPT_LOG_N_MAX, SCRYPT_R_MAX, SCRYPT_P_MAX = 14, 16, 16, 4
SCRYPT_BYTES_MAX = 256 * 1024 * 1024
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)
_FIREBASE = re.compile(
    r"\$fbscrypt\$v=1,n=(?P<n>\d{1,2}),r=(?P<r>\d{1,2}),p=(?P<p>\d{1,2})(?:,ss=(?P<separator>[A-Za-z0-9+/=]*))?"
    r",sk=(?P<key>[A-Za-z0-9+/=]+)\$(?P<salt>[A-Za-z0-9+/=]+)\$(?P<hash>[A-Za-z0-9+/=]+)",
    re.ASCII,
)
_BASE64 = ("separator", "key", "salt", "hash")


def takes(stored: str) -> bool:
    """Return whether a stored text is such a hash, and not too dear to check."""
    found = _BCRYPT.fullmatch(stored)
    if found:
        return 4 <= int(found[1]) <= BCRYPT_ROUNDS_MAX
    return _firebase(stored) is not None


def matches(password: str, stored: str) -> bool:
    """Return whether the password is the one that was hashed. Takes as long as the hash was made to take."""
    if _BCRYPT.fullmatch(stored):
        # Longer ones were cut when they were hashed, which is no reason to let in whoever knows the beginning.
        given = password.encode()
        return len(given) <= 72 and b"\0" not in given and bcrypt.checkpw(given, stored.encode())
    firebase = _firebase(stored)
    return firebase is not None and _matches_firebase(password, *firebase)


def _matches_firebase(password: str, cost: dict[str, int], parts: dict[str, bytes]) -> bool:
    """Compare as Firebase does: its own key, enciphered by what comes of the password, is the hash."""
    derived = hashlib.scrypt(
        password.encode(), salt=parts["salt"] + parts["separator"], dklen=32, maxmem=SCRYPT_BYTES_MAX, **cost
    )
    encryptor = Cipher(algorithms.AES(derived), modes.CTR(bytes(16))).encryptor()
    return hmac.compare_digest(encryptor.update(parts["key"]) + encryptor.finalize(), parts["hash"])


def _firebase(stored: str) -> tuple[dict[str, int], dict[str, bytes]] | None:
    found = _FIREBASE.fullmatch(stored)
    if found is None:
        return None
    log_n, r, p = int(found["n"]), int(found["r"]), int(found["p"])
    if not (1 <= log_n <= SCRYPT_LOG_N_MAX and 1 <= r <= SCRYPT_R_MAX and 1 <= p <= SCRYPT_P_MAX):
        return None
    try:
        parts = {name: base64.b64decode(found[name] or "", validate=True) for name in _BASE64}
    except binascii.Error:
        return None
    return {"n": 2**log_n, "r": r, "p": p}, parts
