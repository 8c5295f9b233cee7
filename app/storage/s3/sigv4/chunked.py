"""Bodies that come in chunks, each with its signature, and with checksums behind them (`aws-chunked`)."""

from __future__ import annotations

import hashlib
import re
from typing import IO, TYPE_CHECKING

from app.storage.s3 import errors
from app.storage.s3.sigv4.expected import is_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.storage.errors import StorageError

READ_BYTES = 262_144
LINE_BYTES_MAX, TRAILERS_MAX = 1024, 8
EMPTY = hashlib.sha256().hexdigest()
_HEAD = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_SIGNATURE_NAME = "x-amz-trailer-signature"


class SignedChunks:
    """The chain of signatures: each is made of the one before. sign: makes one, of a kind and lines."""

    def __init__(self, seed: str, sign: Callable[..., str]) -> None:
        self._last, self._sign = seed, sign

    def check_chunk(self, stated: str, sha256: str) -> None:
        """Raise StorageError when a chunk is not signed so."""
        self._check(stated, self._sign("PAYLOAD", self._last, EMPTY, sha256))

    def check_trailer(self, stated: str, text: bytes) -> None:
        """Raise StorageError when what stands behind the last chunk is not signed so."""
        self._check(stated, self._sign("TRAILER", self._last, hashlib.sha256(text).hexdigest()))

    def _check(self, stated: str, expected: str) -> None:
        if not is_equal(stated, expected):
            raise errors.signature_mismatch()
        self._last = expected


class ChunkedBody:
    """Reads such a body.

    signed    the chain of signatures, or None where chunks have none
    trailing  whether checksums come behind; what does is handed to `expect`, name and value
    """

    def __init__(
        self,
        body: IO[bytes],
        signed: SignedChunks | None,
        *,
        trailing: bool,
        expect: Callable[[str, str], None],
    ) -> None:
        self._body, self._signed, self._trailing, self._expect = body, signed, trailing, expect
        self._left = b""

    def chunks(self) -> Iterator[bytes]:
        """Return the bytes without what is around them; the last one comes when all is proven.

        Raises StorageError.
        """
        while True:
            size, signature = self._head()
            digest = hashlib.sha256()
            for part in self._exactly(size):
                if self._signed is not None:
                    digest.update(part)
                yield part
            if self._signed is not None:
                self._signed.check_chunk(signature, digest.hexdigest())
            if size == 0:
                break
            if self._line() != b"":
                raise malformed()
        self._end()

    def _head(self) -> tuple[int, str]:
        found = _HEAD.fullmatch(self._line())
        if found is None or (found[2] is None) != (self._signed is None):
            raise malformed()
        return int(found[1], 16), (found[2] or b"").decode()

    def _end(self) -> None:
        lines: list[bytes] = []
        while line := self._line(may_end=True):
            lines.append(line)
            if len(lines) > TRAILERS_MAX or not self._trailing:
                raise malformed()
        stated: dict[str, str] = {}
        for line in lines:
            name, _, value = line.decode("latin-1").partition(":")
            stated[name.strip().lower()] = value.strip()
        signature = stated.pop(_SIGNATURE_NAME, None)
        if self._signed is not None and self._trailing:
            text = "".join(f"{name}:{value}\n" for name, value in sorted(stated.items()))
            self._signed.check_trailer(signature or "", text.encode("latin-1"))
        for name, value in stated.items():
            self._expect(name, value)
        if self._left or self._body.read(1):
            raise malformed()

    def _line(self, *, may_end: bool = False) -> bytes:
        while (at := self._left.find(b"\r\n")) < 0:
            if len(self._left) > LINE_BYTES_MAX:
                raise malformed()
            more = self._body.read(READ_BYTES)
            if not more:
                if may_end and not self._left:
                    return b""
                raise incomplete()
            self._left += more
        line, self._left = self._left[:at], self._left[at + 2 :]
        if len(line) > LINE_BYTES_MAX:
            raise malformed()
        return line

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            part = self._left or self._body.read(min(READ_BYTES, size))
            if not part:
                raise incomplete()
            part, self._left = part[:size], part[size:]
            size -= len(part)
            yield part


def malformed() -> StorageError:
    """Return the refusal of chunks that are written as none."""
    return errors.refusal("InvalidRequest", "The body is not chunked as aws-chunked has it")


def incomplete() -> StorageError:
    """Return the refusal of a body that ends too soon."""
    return errors.refusal(
        "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"
    )
