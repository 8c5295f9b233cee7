"""The embedded Valkey: a doorbell on a Unix socket that keeps nothing."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from infra.embedded import state
from infra.embedded.programs import valkey_binary
from infra.sockets import socket_path

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings

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
        """Return whether the server answers a ping."""
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
    path = socket_path(settings, "valkey.sock")
    state.remember(settings.home, LAUNCHDB_REDIS_URL=f"unix://{quote(str(path))}")
    return Valkey(valkey_binary(), path)
