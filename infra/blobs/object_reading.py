"""Reads an object of an object store from any place in it, a part at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from infra.blobs.store import BlobMissing, NoRoom
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"})


class ObjectReader:
    """A file for reading. Each seek asks the store anew, from there to the end; the bytes come as they are read.

    size  how many bytes are read at most
    """

    def __init__(self, client: Any, bucket: str, key: str, size: int) -> None:
        self._client, self._bucket, self._key, self._size = client, bucket, key, size
        self._at = 0
        self._body: Any = None

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or fewer at the end."""
        left = self._size - self._at
        wanted = left if size < 0 else min(size, left)
        if wanted <= 0:
            return b""
        if self._body is None:
            span = f"bytes={self._at}-{self._size - 1}"
            with worded():
                self._body = self._client.get_object(Bucket=self._bucket, Key=self._key, Range=span)["Body"]
        with worded():
            found: bytes = self._body.read(wanted)
        self._at += len(found)
        return found

    def seek(self, at: int) -> int:
        """Go to a place, counted from the beginning."""
        if at != self._at:
            self._end()
            self._at = at
        return at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


@contextmanager
def worded() -> Iterator[None]:
    """Raise in our words what the object store has said; no secret is in any of its own."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise BlobMissing("there is no such blob") from error
        if code in _FULL:
            raise NoRoom("the object store is full") from error
        raise Unavailable(f"the object store refuses: {code}") from error
    except BotoCoreError as error:
        raise Unavailable(f"the object store does not answer: {type(error).__name__}") from error
    except OSError as error:
        raise NoRoom("the disk is full: free some space") from error
