"""The pooler between data APIs and Postgres: what it has to serve, and how a data API reaches its database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.cluster import Cluster


@dataclass(frozen=True)
class Entry:
    """One database that the pooler serves: so many connections, and so many more when they are not enough."""

    database: str
    pool_size: int
    reserve: int


class Pooler(Protocol):
    """Verbs that state the wanted end, whether there is a pooler or not."""

    def serve(self, entries: Sequence[Entry]) -> None:
        """Let the pooler serve exactly these databases. Raises Unavailable, Refused."""

    def served(self) -> list[Entry] | None:
        """Return what it serves now; None where there is no pooler. Raises Unavailable."""

    def release(self, database: str) -> None:
        """Let go of every connection to a database, and take no new ones, before it is renamed or dropped."""

    def resume(self, database: str) -> None:
        """Let a database be served again after a release."""

    def reconnect(self, database: str) -> None:
        """Let connections that were opened before be replaced as they fall free."""

    def data_uri(self, database: str, user: str, password: str) -> str:
        """Return the libpq URI with which a data API reaches its database."""


class NoPooler:
    """Data APIs connect to Postgres themselves."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def serve(self, entries: Sequence[Entry]) -> None:
        """Nothing stands between."""

    def served(self) -> list[Entry] | None:
        """Say that there is no pooler."""
        return None

    def release(self, database: str) -> None:
        """Nothing stands between."""

    def resume(self, database: str) -> None:
        """Nothing stands between."""

    def reconnect(self, database: str) -> None:
        """Nothing stands between."""

    def data_uri(self, database: str, user: str, password: str) -> str:
        """Return the URI of the server itself."""
        return self._cluster.uri(database, user, password)
