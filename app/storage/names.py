"""What buckets and objects may be called."""

from __future__ import annotations

import re

from app.storage.errors import StorageError, invalid_key

BUCKET_CHARACTERS_MAX, KEY_BYTES_MAX, SEGMENT_BYTES_MAX = 100, 1024, 255
_BUCKET = re.compile(r"[A-Za-z0-9_!\-.*'() &$@=;:+,?]+", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_/!\-.*'() &$@=;:+,?]+", re.ASCII)


def checked_bucket(name: object) -> str:
    """Return a name that a bucket may have. Raises StorageError."""
    if (
        not isinstance(name, str)
        or not _BUCKET.fullmatch(name)
        or name != name.strip()
        or len(name) > BUCKET_CHARACTERS_MAX
        or name in (".", "..")
    ):
        raise StorageError(400, "Invalid Input", "InvalidBucketName", "Bucket name invalid")
    return name


def checked_key(name: object) -> str:
    """Return a name that an object may have: no part of it is `.` or `..`, or longer than a file's name may be.

    Raises StorageError.
    """
    key = name if isinstance(name, str) else ""
    parts = key.split("/")
    if (
        not _KEY.fullmatch(key)
        or key.startswith("/")
        or not parts[-1]
        or len(key) > KEY_BYTES_MAX
        or any(part in (".", "..") or len(part) > SEGMENT_BYTES_MAX for part in parts)
    ):
        raise invalid_key(key[:KEY_BYTES_MAX].encode(errors="replace").decode().replace("\0", ""))
    return key
