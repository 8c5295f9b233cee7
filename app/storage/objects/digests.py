"""What is counted of bytes while they are written; once they are many, in threads of their own beside it."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

# Fewer bytes are hashed before a thread has begun.
BESIDE_BYTES = 2 * 1024 * 1024
# How many parts may wait for the slower digest: they are in memory so long.
AHEAD = 8


@dataclass(frozen=True)
class Digests:
    """What was counted. md5: as clients compare; sha256: by which a copy is known as one."""

    size: int
    md5: str
    sha256: str


class ByteDigests:
    """Counts the bytes of one object. Whoever makes it closes it."""

    def __init__(self) -> None:
        self._md5, self._sha256, self.size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        self._beside: tuple[_Beside, ...] = ()

    def update(self, part: bytes) -> None:
        """Count bytes, which do not change any more."""
        self.size += len(part)
        if self.size > BESIDE_BYTES and not self._beside:
            self._beside = (_Beside(self._md5), _Beside(self._sha256))
        for each in self._beside or (self._md5, self._sha256):
            each.update(part)

    def found(self) -> Digests:
        """Return what was counted, once all of it is."""
        for each in self._beside:
            each.finish()
        return Digests(self.size, self._md5.hexdigest(), self._sha256.hexdigest())

    def close(self) -> None:
        """End what goes on beside."""
        for each in self._beside:
            each.close()


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
