"""When a project was last asked: its data API, Auth and Storage touch a file each, whose time says when."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings

FILE = "last-request"
TOUCH_SECONDS = 1.0


class ActivityMark:
    """Notes that requests come, by a file in a folder that is there, at most once a second. Safe to use by threads."""

    def __init__(self, folder: Path, file: str = FILE) -> None:
        self._file = folder / file
        self._until = 0.0
        self._lock = threading.Lock()

    def touch(self) -> None:
        """Note a request. A folder that is gone, or that nobody may write to, is no reason to refuse it."""
        now = time.monotonic()
        if now < self._until:
            return
        with self._lock:
            if now < self._until:
                return
            self._until = now + TOUCH_SECONDS
        # Its time alone counts. It is never written to, and a link that leads elsewhere is not followed.
        with suppress(OSError):
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.utime(handle)
            finally:
                os.close(handle)


def auth_marks(settings: Settings) -> Path:
    """Return the folder in which Auth notes that it is asked for a project, by a file of the project's name."""
    return settings.run_folder / "auth"


def storage_marks(settings: Settings) -> Path:
    """Return the folder in which Storage notes the same."""
    return settings.run_folder / "storage"


def idle_seconds(settings: Settings, instance_id: str) -> float | None:
    """Return how long ago the instance, Auth or Storage was last asked; None when the instance notes nothing.

    The clock is this machine's, as the file's time is: the two are on one file system.
    """
    folders = (settings.instances_folder / instance_id, settings.run_folder / "projects" / instance_id)
    found = []
    for folder in folders:
        with suppress(OSError):
            found.append((folder / FILE).lstat().st_mtime)
    if not found:
        return None
    for marks in (auth_marks(settings), storage_marks(settings)):
        with suppress(OSError):
            found.append((marks / instance_id).lstat().st_mtime)
    return max(0.0, time.time() - max(found))
