"""What is counted of bytes while they are written; once they are many, in threads of their own beside it."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

# What is larger comes in parts elsewhere, and has a tag that is not its MD5: that takes as long as all else together.
LARGE_BYTES = 5 * 1024 * 1024
# How many pieces may wait for a digest: they are in memory so long.
AHEAD = 8


@dataclass(frozen=True)
class Digests:
    """What was counted. sha256: by which a copy is known as one; md5: None of a large object that nobody compares."""

    size: int
    sha256: str
    md5: str | None

    @property
    def etag(self) -> str:
        """The entity tag, without quotes: the MD5, or a name by the SHA-256 in the form of what came in parts."""
        return self.md5 or f"{self.sha256[:32]}-{-(-self.size // LARGE_BYTES)}"


class ByteDigests:
    """Counts the bytes of one object. Whoever makes it closes it.

    compared  whether its client compares the MD5, however large it is
    """

    def __init__(self, *, compared: bool = False) -> None:
        self.size, self._compared = 0, compared
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._beside: tuple[_Beside, ...] = ()

    def update(self, part: bytes) -> None:
        """Count bytes, which do not change any more."""
        self.size += len(part)
        if self._is_large and not self._beside:
            self._beside = tuple(map(_Beside, (self._sha256, self._md5) if self._compared else (self._sha256,)))
        for each in self._beside or (self._sha256, self._md5):
            each.update(part)

    def found(self) -> Digests:
        """Return what was counted, once all of it is."""
        for each in self._beside:
            each.finish()
        has_md5 = self._compared or not self._is_large
        return Digests(self.size, self._sha256.hexdigest(), self._md5.hexdigest() if has_md5 else None)

    def close(self) -> None:
        """End what goes on beside."""
        for each in self._beside:
            each.close()

    @property
    def _is_large(self) -> bool:
        return self.size > LARGE_BYTES


class _Beside:
    """A digest in a thread of its own: hashlib lets go of the interpreter while it counts."""

    def __init__(self, digest: Any) -> None:
        self._digest, self._thread = digest, ThreadPoolExecutor(1, "digest")
        self._pending: deque[Future[None]] = deque()

    def update(self, part: bytes) -> None:
        self._pending.append(self._thread.submit(self._digest.update, part))
        while self._pending and (self._pending[0].done() or len(self._pending) > AHEAD):
            self._pending.popleft().result()

    def finish(self) -> None:
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
