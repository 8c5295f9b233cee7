"""The body of a signed request: decoded, and held against what is signed and stated of it while it is read."""

from __future__ import annotations

import hashlib
import re
from typing import IO, TYPE_CHECKING

from app.storage.s3 import errors
from app.storage.s3.sigv4.checksums import Checks
from app.storage.s3.sigv4.chunked import READ_BYTES, ChunkedBody, SignedChunks, incomplete
from app.storage.s3.sigv4.expected import is_equal
from app.storage.s3.sigv4.stated import UNSIGNED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.storage.s3.sigv4.expected import ExpectedSigner
    from app.storage.s3.sigv4.stated import StatedSignature

SIGNED_CHUNKS, SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)


class VerifiedBody:
    """What is read of a body is what was signed; of one that is not, the last read raises StorageError.

    length  how many bytes it has once it is decoded; None where nobody has said it
    """

    def __init__(self, chunks: Iterator[bytes], length: int | None, checks: Checks) -> None:
        self._chunks, self.length, self.checks = chunks, length, checks
        self._left = b""

    def read(self, size: int = READ_BYTES) -> bytes:
        """Read so many bytes, or fewer at the end; nothing once all are read and proven. Raises StorageError."""
        parts, found = [self._left], len(self._left)
        while found < size and (part := next(self._chunks, b"")):
            parts.append(part)
            found += len(part)
        whole = b"".join(parts)
        self._left = whole[size:]
        return whole[:size]


def verified_body(
    stated: StatedSignature,
    signer: ExpectedSigner,
    headers: Mapping[str, str],
    body: IO[bytes],
    length: int | None,
) -> VerifiedBody:
    """Return the body of a request whose signature holds. Raises StorageError."""
    payload = stated.payload
    if payload in (SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER):
        trailing = payload != SIGNED_CHUNKS
        announced = (headers.get("X-Amz-Trailer") or "").strip().lower() or None
        checks = Checks(headers, trailer=announced if trailing else None)
        signed = None if payload == UNSIGNED_TRAILER else SignedChunks(stated.signature, signer.of_text)
        chunked = ChunkedBody(body, signed, trailing=trailing, expect=checks.expect)
        decoded = _decoded_length(headers)
        return VerifiedBody(_checked(_counted(chunked.chunks(), decoded), checks), decoded, checks)
    checks = Checks(headers)
    if payload == UNSIGNED:
        return VerifiedBody(_checked(_plain(body, length), checks), length, checks)
    if not _SHA256.fullmatch(payload):
        if payload.startswith("STREAMING-"):
            raise errors.not_implemented(f"The payload {payload[:80]}")
        raise errors.invalid_argument(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- payload, or a valid sha256 value"
        )
    return VerifiedBody(_checked(_hashed(_plain(body, length), payload), checks), length, checks)


def _decoded_length(headers: Mapping[str, str]) -> int:
    stated = headers.get("X-Amz-Decoded-Content-Length") or ""
    if not _LENGTH.fullmatch(stated):
        raise errors.refusal("MissingContentLength", "You must provide the Content-Length HTTP header", 411)
    return int(stated)


def _plain(body: IO[bytes], length: int | None) -> Iterator[bytes]:
    read = 0
    while part := body.read(READ_BYTES):
        read += len(part)
        yield part
    if length is not None and read != length:
        raise incomplete()


def _counted(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    read = 0
    for part in chunks:
        read += len(part)
        if read > length:
            break
        yield part
    if read != length:
        raise incomplete()


def _hashed(chunks: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for part in chunks:
        digest.update(part)
        yield part
    if not is_equal(digest.hexdigest(), sha256):
        raise errors.refusal(
            "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed"
        )


def _checked(chunks: Iterator[bytes], checks: Checks) -> Iterator[bytes]:
    for part in chunks:
        checks.update(part)
        yield part
    checks.verify()
