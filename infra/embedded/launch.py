"""Starts, finds and stops the supervisor of a home from another process."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import TYPE_CHECKING

from config import surroundings
from config.settings import CHECKOUT
from infra import files
from infra.embedded.start import folders, lock_path, log_folder
from infra.errors import Unavailable
from infra.pipeline import PIPE, spawn

if TYPE_CHECKING:
    import subprocess

    from config.settings import Settings

# Longer than all graces of the stop together.
STOP_SECONDS = 90.0


def launch(settings: Settings, *, detached: bool) -> subprocess.Popen[bytes]:
    """Start the supervisor; its standard output is the report. Unless detached, it ends when we do.

    Raises Refused when the home cannot be made.
    """
    folders(settings)
    own = {"LAUNCHDB_HOME": str(settings.home), "LAUNCHDB_PORT": str(settings.port)}
    with (
        files.translate_os_errors(log_folder(settings)),
        (log_folder(settings) / "supervisor.err").open("wb") as errors,
    ):
        return spawn(
            [sys.executable, "-m", "infra.embedded"],
            env={**surroundings.program_environment(), **own},
            cwd=CHECKOUT,
            stdout=PIPE,
            stderr=errors,
            death_signal=None if detached else signal.SIGKILL,
        )


def running(settings: Settings) -> int | None:
    """Return the process id of the home's supervisor; None when none runs."""
    path = lock_path(settings)
    if not path.exists():
        return None
    try:
        with files.locked(path, wait=False):
            return None
    except files.FileLocked:
        return int(path.read_text().strip() or 0) or None


def stop(settings: Settings) -> bool:
    """Stop the home's supervisor in order and wait until it is gone; say whether one ran. Raises Unavailable."""
    pid = running(settings)
    if pid is None:
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        ended, _, _ = select.select([handle], [], [], STOP_SECONDS)
    finally:
        os.close(handle)
    if not ended:
        raise Unavailable(f"the supervisor (process {pid}) did not stop within {STOP_SECONDS:g} s")
    return True
