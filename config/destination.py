"""Where backups are copied to: `user@host:path`, and nothing that a program could read as an option."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(
    r"(?P<user>[a-z_][a-z0-9_.-]{0,31})@(?P<host>[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])"
    r":(?P<path>[A-Za-z0-9._/~][A-Za-z0-9._/ -]{0,1000})",
    re.ASCII,
)


@dataclass(frozen=True)
class Destination:
    """A folder on another machine. path: absolute, or below the home of `user` there."""

    user: str
    host: str
    path: str

    @property
    def folder(self) -> str:
        """The folder as rsync takes it; what is in it is meant."""
        return f"{self.user}@{self.host}:{self.path.rstrip('/') or '/'}/"

    @property
    def address(self) -> str:
        """The host alone, as other programs take it."""
        return self.host.strip("[]")


def destination(text: str) -> Destination:
    """Read `user@host:path`. Raises ValueError."""
    found = _FORM.fullmatch(text)
    if found is None or ".." in found["path"].split("/"):
        raise ValueError("RSYNC_DEST must be user@host:path; the path of letters, digits, dots, slashes and hyphens")
    return Destination(found["user"], found["host"], found["path"])
