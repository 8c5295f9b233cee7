"""Where the doctor looks: the machine's files, the installation's settings, Docker, and who answers for names."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from config import installation
from config.settings import CHECKOUT
from infra.host import compose, docker_cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from infra.host.compose import Compose
    from infra.host.docker_cli import ContainerStatus

SERVICES = (
    *("postgres", "pgbouncer", "platform-api", "postgrest-manager", "migrations", "auth-service", "storage-service"),
    *("caddy", "backup", "redis", "worker", "worker-bulk", "scheduler", "broker"),
)


def addresses_of(name: str) -> list[str]:
    """Return the IPv4 addresses that a name has, as the machine's own resolver says."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(entry[4][0]) for entry in found})


@dataclass
class Site:
    """One installation on one machine.

    root      where the machine's files lie: another folder when they are mounted into a container
    prefix    what the names of the installation's containers begin with
    projects  the ids of projects that should be served, or None when nobody can be asked
    render    has the pooler's files made anew from the catalogue; says whether that could be done
    file      the installation's Compose file
    services  the containers that there should be, by their names without the prefix
    """

    settings: Settings
    root: Path = Path("/")
    prefix: str = "launchdb-"
    resolve: Callable[[str], list[str]] = addresses_of
    projects: Callable[[], set[str] | None] = lambda: None
    render: Callable[[], bool] = lambda: False
    file: Path = CHECKOUT / "compose" / "compose.yaml"

    services: tuple[str, ...] = SERVICES

    def compose(self) -> Compose:
        """Return the installation as Compose knows it. Raises Refused where Compose is missing, or too old."""
        return compose.find(self.file, self.dotenv, project=self.prefix.rstrip("-"))

    def containers(self) -> list[ContainerStatus]:
        """Return the installation's containers, running or not. Raises Unavailable."""
        return docker_cli.containers(name=self.prefix)

    @property
    def home(self) -> Path:
        """The folder of all state."""
        return self.settings.home

    @property
    def dotenv(self) -> Path:
        """The file of settings that Compose reads."""
        return self.home / ".env"

    def text(self, path: str) -> str | None:
        """Return a file of the machine's; None when there is none."""
        try:
            return (self.root / path).read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def dotenv_values(self) -> dict[str, str]:
        """Return what `.env` says."""
        return installation.read(self.home)
