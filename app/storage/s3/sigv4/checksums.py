"""The checksums that clients send beside a body, before it or behind it, and what they are held against."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Protocol

from awscrt import checksums as crt

from app.storage.s3 import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.storage.errors import StorageError

PREFIX = "x-amz-checksum-"
_MD5 = "content-md5"


class Running(Protocol):
    """A checksum that is being made."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def digest(self) -> bytes:
        """Return what it is so far."""


class _Crc:
    def __init__(self, add: Callable[[bytes, int], int], size: int) -> None:
        self._add, self._size, self._value = add, size, 0

    def update(self, data: bytes, /) -> None:
        self._value = self._add(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_MAKERS: dict[str, Callable[[], Running]] = {
    _MD5: lambda: hashlib.md5(usedforsecurity=False),
    f"{PREFIX}crc32": lambda: _Crc(crt.crc32, 4),
    f"{PREFIX}crc32c": lambda: _Crc(crt.crc32c, 4),
    f"{PREFIX}crc64nvme": lambda: _Crc(crt.crc64nvme, 8),
    f"{PREFIX}sha1": lambda: hashlib.sha1(usedforsecurity=False),
    f"{PREFIX}sha256": hashlib.sha256,
}
# What stands beside them, and is none.
_NONE = frozenset({f"{PREFIX}mode", f"{PREFIX}algorithm", f"{PREFIX}type"})


class Checks:
    """The checksums of one body: those that headers state, and that which is to come behind it.

    Raises StorageError for one that is none, or that nobody here knows.
    """

    def __init__(self, headers: Mapping[str, str], *, trailer: str | None = None) -> None:
        stated = {name.lower(): value for name, value in headers.items()}
        self._wanted = {
            name: _decoded(name, value)
            for name, value in stated.items()
            if name == _MD5 or (name.startswith(PREFIX) and name not in _NONE)
        }
        self.trailer = trailer
        if trailer is not None and trailer not in _MAKERS:
            raise errors.refusal("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
        self._running = {name: _MAKERS[name]() for name in (*self._wanted, *([trailer] if trailer else []))}

    @property
    def stated(self) -> dict[str, str]:
        """Return what has proven right, by the names of the headers that say it to the client."""
        return {
            name: base64.b64encode(value).decode() for name, value in self._wanted.items() if name.startswith(PREFIX)
        }

    def update(self, data: bytes) -> None:
        """Add bytes of the body."""
        for running in self._running.values():
            running.update(data)

    def expect(self, name: str, value: str) -> None:
        """Take what has come behind the body. Raises StorageError."""
        if name != self.trailer:
            raise errors.refusal(
                "MalformedTrailerError", "The request contained trailing data that was not well-formed"
            )
        self._wanted[name] = _decoded(name, value)

    def verify(self) -> None:
        """Raise StorageError when the body is not what was stated of it."""
        if self.trailer is not None and self.trailer not in self._wanted:
            raise errors.refusal("MalformedTrailerError", "The request did not contain the trailer that it announced")
        for name, wanted in self._wanted.items():
            if self._running[name].digest() != wanted:
                raise _mismatch(name)


def _decoded(name: str, value: str) -> bytes:
    maker = _MAKERS.get(name)
    if maker is None:
        raise errors.refusal("InvalidRequest", f"The checksum {name.removeprefix(PREFIX)} is not supported")
    try:
        found = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != len(maker().digest()):
        if name == _MD5:
            raise errors.refusal("InvalidDigest", "The Content-MD5 you specified was invalid")
        raise errors.refusal("InvalidRequest", f"Value for {name} header is invalid")
    return found


def _mismatch(name: str) -> StorageError:
    if name == _MD5:
        return errors.refusal("BadDigest", "The Content-MD5 you specified did not match what we received")
    what = name.removeprefix(PREFIX).upper()
    return errors.refusal("BadDigest", f"The {what} you specified did not match the calculated checksum")
