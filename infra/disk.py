"""How much room the disks have on which this installation writes, and the brake before they are full."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from infra import files
from infra.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings


class DiskFull(Unavailable):
    """There is not enough room. Nothing is left of what was begun; once somebody has made some, another try goes on."""


class DiskSpace(NamedTuple):
    """A folder of ours, and how many megabytes may still be written there."""

    folder: Path
    free_mb: int


def disk_spaces(settings: Settings) -> list[DiskSpace]:
    """Return the room on each disk that the home, backups and exports lie on; one disk is named once."""
    found: dict[int, DiskSpace] = {}
    # A service that has been given some folders of the home has something else in the place of the home itself.
    home = [settings.home] if os.access(settings.home, os.W_OK) else []
    for folder in (*home, settings.backups_folder, settings.exports_folder):
        if folder.is_dir():
            found.setdefault(folder.stat().st_dev, DiskSpace(folder, files.free_mb(folder)))
    return list(found.values())


def disk_shortage(settings: Settings) -> str:
    """Return which disk is as good as full, and what an operator can do; "" when none is."""
    for folder, free in disk_spaces(settings):
        if free < settings.disk_reserve_mb:
            return (
                f"the disk of {folder} is nearly full: {free} MB are free, and {settings.disk_reserve_mb} are kept free"
            )
    return ""


def require_disk_space(settings: Settings) -> None:
    """Raise DiskFull before something is begun that needs room, while there is too little."""
    if short := disk_shortage(settings):
        raise DiskFull(f"{short}; free some space: what waits for it goes on by itself")
