"""The embedded Valkey: a doorbell on a Unix socket that keeps nothing."""

from __future__ import annotations

import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from infra import files
from infra.embedded import accounts, state
from infra.embedded.programs import valkey_binary
from infra.errors import Refused

if TYPE_CHECKING:
    from config.settings import Settings

# The kernel's limit is 108 bytes, its closing zero included.
LONGEST_SOCKET = 100
MEMORY = "64mb"


@dataclass(frozen=True)
class Valkey:
    """One socket and how its server is started."""

    binary: Path
    socket: Path

    def argv(self) -> list[str]:
        """Return the command line: no port, no persistence, nothing evicted behind the queue's back."""
        settings = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "600",
            "--dir": str(self.socket.parent),
            "--save": "",
            "--appendonly": "no",
            "--maxmemory": MEMORY,
            "--maxmemory-policy": "noeviction",
            "--daemonize": "no",
            "--hz": "1",
        }
        return [str(self.binary), *(part for pair in settings.items() for part in pair)]

    def answers(self) -> bool:
        """Say whether the server answers a ping."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(7).startswith(b"+PONG")
        except OSError:
            return False


def prepare(settings: Settings) -> Valkey:
    """Choose the socket and remember it. Raises Refused when its folder cannot be made."""
    path = _socket_folder(settings) / "valkey.sock"
    state.remember(settings.home, LAUNCHDB_REDIS_URL=f"unix://{quote(str(path))}")
    return Valkey(valkey_binary(), path)


def _socket_folder(settings: Settings) -> Path:
    inside = settings.run_folder
    if len(bytes(inside / "valkey.sock")) <= LONGEST_SOCKET:
        return inside
    # A home deep in the tree: a short folder of ours under the system's temporary one.
    short = files.folder(Path(tempfile.gettempdir()) / f"launchdb-{accounts.nickname(settings.home)}")
    found = short.lstat()
    if found.st_uid != settings.home.stat().st_uid or found.st_mode & 0o077:
        raise Refused(f"{short} belongs to somebody else; remove it, or choose a shorter LAUNCHDB_HOME")
    return short
