"""The programs of rsync and SSH: where they are, and what rsync is told and tells while it runs."""

from __future__ import annotations

import re
import selectors
import shutil
from typing import TYPE_CHECKING

from infra.backup.offsite_names import checked
from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from subprocess import Popen

LOOK_SECONDS = 0.5
_PROGRESS = re.compile(rb"\r *(\d+) +\d+%")
_LISTED = re.compile(r"-\S{9} +(?P<size>\d+) \d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?P<name>\S+)", re.ASCII)
_FOLDER = re.compile(r"d\S{9} +\d+ \d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?P<name>[a-z0-9_]+)", re.ASCII)


def listed_files(told: str) -> dict[str, int]:
    """Return the files of a listing with their sizes."""
    lines = (_LISTED.fullmatch(line) for line in told.splitlines())
    return {line["name"]: int(line["size"]) for line in lines if line}


def listed_folders(told: str) -> list[str]:
    """Return the folders of a listing."""
    return sorted(found["name"] for line in told.splitlines() if (found := _FOLDER.fullmatch(line)))


def name_files(process: Popen[bytes], names: Sequence[str]) -> None:
    """Tell rsync which files are meant; it reads the list to its end before it says anything."""
    if process.stdin is None:
        raise ValueError("the program's input is not a pipe")
    process.stdin.write("".join(f"{checked(name)}\0" for name in names).encode())
    process.stdin.close()


def watch(process: Popen[bytes], look: Callable[[int], None]) -> None:
    """Follow what rsync says of its progress until it has no more to say."""
    out, done = process.stdout, 0
    if out is None:
        raise ValueError("the program's output is not a pipe")
    with selectors.DefaultSelector() as ready:
        ready.register(out, selectors.EVENT_READ)
        while True:
            look(done)
            if not ready.select(LOOK_SECONDS):
                continue
            said = out.read1(1 << 16)  # type: ignore[attr-defined] # a pipe of Popen is buffered
            if not said:
                return
            if found := _PROGRESS.findall(said):
                done = int(found[-1])


def program_path(name: str) -> str:
    """Return where a program is. Raises Refused, saying how it is installed."""
    found = shutil.which(name)
    if found is None:
        package = "rsync" if name == "rsync" else "openssh-client"
        raise Refused(f"{name} is not installed; on Debian: apt-get install {package}")
    return found
