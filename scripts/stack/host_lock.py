"""One host command at a time: who starts, stops or changes an installation does it alone."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra import files
from infra.errors import Unavailable
from infra.files import FileLocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = ".command.lock"


@contextmanager
def host_lock(home: Path, command: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the installation meanwhile. Raises Unavailable, naming the command that is at work on it."""
    path = home / LOCK
    with ExitStack() as held:
        try:
            handle = held.enter_context(files.locked(path, wait=wait))
        except FileLocked as error:
            who = path.read_text() or "another command"
            raise Unavailable(f"{who}, is at work on {home}; wait until it has ended, or end it") from error
        with suppress(OSError):  # who it is, is a courtesy
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"`launchdb {command}`, since {datetime.now(UTC):%H:%M:%S} UTC".encode(), 0)
        yield
