"""Transforms pictures in processes beside ours, and keeps what became of them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

from app.storage.errors import StorageError
from infra.helper_messages import copy_message
from infra.helper_processes import HelperFailed, HelperOutOfTime, HelperProcesses, HelpersBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.storage.images.transformation import Transformation
    from infra.blobs.results import ResultFolder

PROCESSES, WAITING, SECONDS = 2, 24, 15.0
SOURCE_BYTES_MAX = 25 * 1024 * 1024
# One thread each, or a picture has the whole machine; what the library would put into files, it keeps in memory.
VARIABLES = {"VIPS_CONCURRENCY": "1", "VIPS_DISC_THRESHOLD": "2g", "MALLOC_ARENA_MAX": "2"}
TYPES = {"jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"} | {
    "avif": "image/avif",
    "tiff": "image/tiff",
}


@dataclass(frozen=True)
class Wanted:
    """A picture that is wanted. blob: the name of its original; target: avif or webp; None: the original's format."""

    project_id: str
    blob: str
    transformation: Transformation
    target: str | None

    @property
    def stem(self) -> str:
        """What its result is called among those of the same original."""
        said = json.dumps([self.transformation.members, self.target], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:32]


class Pictures:
    """Transforms pictures. Safe to use from many threads.

    results  opens the place of a project's results
    """

    def __init__(self, results: Callable[[str], ResultFolder]) -> None:
        self._results, self._folders = results, dict[str, "ResultFolder"]()
        self._helpers = HelperProcesses(
            "app.storage.images.picture_process", PROCESSES, variables=VARIABLES, waiting=WAITING
        )

    def made(
        self, wanted: Wanted, original: IO[bytes], count: Callable[[Literal["made", "kept"]], None]
    ) -> tuple[str, IO[bytes]]:
        """Return the media type and the bytes of what becomes of an original, which is closed.

        count  told whether it was made, or found made

        Raises StorageError.
        """
        with original:
            if (found := self._found(wanted)) is not None:
                count("kept")
                return found
            size = original.seek(0, os.SEEK_END)
            if size > SOURCE_BYTES_MAX:
                raise _refused("The source image file is too large to process")
            try:
                with self._helpers.turn(wanted.project_id) as ask:
                    # Who was before us may have made the same.
                    found = self._found(wanted)
                    count("made" if found is None else "kept")
                    return found or self._made(wanted, original, size, ask)
            except HelpersBusy:
                raise _too_many() from None
            except HelperOutOfTime as error:
                raise StorageError(408, "InvalidRequest", "InvalidRequest", "Image request timed out") from error
            except HelperFailed as error:
                # What ends the process is what it was given: more memory than it may have, or worse.
                raise _refused("The source image is invalid or unsupported for rendering") from error

    def forget(self, project_id: str, blob: str) -> None:
        """Ensure that nothing is left of what was made of an original that is no more."""
        self.results_of(project_id).drop(blob)

    def trim(self) -> None:
        """End the processes that have nothing to do."""
        self._helpers.trim()

    def close(self) -> None:
        """End all processes that have nothing to do now."""
        self._helpers.trim(0)

    def results_of(self, project_id: str) -> ResultFolder:
        """Return the place of a project's results."""
        return self._folders.setdefault(project_id, self._results(project_id))

    def _found(self, wanted: Wanted) -> tuple[str, IO[bytes]] | None:
        found = self.results_of(wanted.project_id).open(wanted.blob, wanted.stem)
        if found is None:
            return None
        kind, file = found
        if kind in TYPES:
            return TYPES[kind], file
        file.close()
        return None

    def _made(self, wanted: Wanted, original: IO[bytes], size: int, ask: Any) -> tuple[str, IO[bytes]]:
        original.seek(0)
        about = {"wanted": wanted.transformation.members, "format": wanted.target}
        said, content = ask(lambda stream: copy_message(stream, about, original, size), SECONDS)
        if "refused" in said:
            raise _refused(said["refused"])
        kind = next(kind for kind, media_type in TYPES.items() if media_type == said["type"])
        return said["type"], self.results_of(wanted.project_id).keep(wanted.blob, wanted.stem, kind, content)


def _refused(why: str) -> StorageError:
    return StorageError(400, "InvalidRequest", "InvalidRequest", why)


def _too_many() -> StorageError:
    return StorageError(429, "InvalidRequest", "InvalidRequest", "Too many requests", headers=(("Retry-After", "1"),))
