"""Where a home's Unix sockets lie: in its run folder, or in a short folder when that one's name is too long."""

from __future__ import annotations

import hashlib
import http.client
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from infra import files
from infra.errors import Refused

if TYPE_CHECKING:
    from config.settings import Settings

# The kernel's limit is 108 bytes, its closing zero included.
LONGEST = 100
CONNECT_SECONDS = 0.5


def short_home_name(home: Path) -> str:
    """Return a short name for a home folder, for what cannot lie inside it."""
    return hashlib.sha256(str(home).encode()).hexdigest()[:12]


def socket_path(settings: Settings, name: str) -> Path:
    """Return where the socket of this name lies; its folder is there. Raises Refused."""
    inside = files.ensure_folder(settings.run_folder, mode=0o700) / name
    if len(bytes(inside)) <= LONGEST:
        files.ensure_folder(inside.parent, mode=0o700)
        return inside
    # A home deep in the tree: a short folder of ours under the system's temporary one.
    short = files.ensure_folder(Path(tempfile.gettempdir()) / f"launchdb-{short_home_name(settings.home)}")
    found = short.lstat()
    if found.st_uid != settings.home.stat().st_uid or found.st_mode & 0o077:
        raise Refused(f"{short} belongs to somebody else; remove it, or choose a shorter LAUNCHDB_HOME")
    return short / name.replace("/", ".")


class UnixHTTPConnection(http.client.HTTPConnection):
    """HTTP to whoever listens at a Unix socket."""

    def __init__(self, path: Path, *, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get_over_socket(path: Path, what: str, *, seconds: float) -> tuple[str, bytes] | None:
    """Return media type and body of what is answered with 200 at this socket; None for anything else."""
    connection = UnixHTTPConnection(path, seconds=seconds)
    try:
        connection.request("GET", what)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return (answer.getheader("Content-Type", ""), body) if answer.status == 200 else None


def is_listening(path: Path) -> bool:
    """Return whether somebody listens at this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
