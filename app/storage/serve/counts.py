"""What one process of Storage counts for Prometheus: by what was done, never by project, bucket or user."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter

if TYPE_CHECKING:
    from collections.abc import Callable


class StorageCounts:
    """Counts requests, refusals, bytes, objects, uploads and pictures, in a registry of its own or another's."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"launchdb_storage_{name}", what, labels, registry=self.registry)

        self._requests = counter("requests", "requests that were answered, by operation", "operation", "status")
        self._refusals = counter("refusals", "requests that were refused, by the word of the error", "code")
        self._bytes = counter("bytes", "bytes of files, as they came (in) or were sent (out)", "direction")
        self._objects = counter("objects", "objects that were stored, copied or removed", "event")
        self._uploads = counter("uploads", "uploads in parts that were begun, finished or ended", "event")
        self._pictures = counter("pictures", "pictures that were made, found made, or refused", "outcome")

    def answered(self, operation: str, status: int) -> None:
        """Count an answer, with the status of HTTP."""
        self._requests.labels(operation, str(status)).inc()

    def refused(self, code: str) -> None:
        """Count a refusal by the word of its error."""
        self._refusals.labels(code).inc()

    def came(self, size: int) -> None:
        """Count bytes that a client has sent."""
        self._bytes.labels("in").inc(size)

    def went(self, size: int) -> None:
        """Count bytes that a client gets."""
        self._bytes.labels("out").inc(size)

    def objects(self, event: Literal["stored", "copied", "removed"], many: int = 1) -> None:
        """Count what has become of objects."""
        self._objects.labels(event).inc(many)

    def upload(self, event: Literal["begun", "finished", "ended"]) -> None:
        """Count what has become of an upload in parts."""
        self._uploads.labels(event).inc()

    def picture(self, outcome: Literal["made", "kept", "refused"]) -> None:
        """Count what has become of a request for a picture."""
        self._pictures.labels(outcome).inc()


class CountedBody:
    """A body whose bytes are counted as they are read. source: what they are read from."""

    def __init__(self, source: IO[bytes], count: Callable[[int], None]) -> None:
        self.source, self._count = source, count

    def read(self, size: int = -1) -> bytes:
        """Read, as the body itself does."""
        found = self.source.read(size)
        if found:
            self._count(len(found))
        return found
