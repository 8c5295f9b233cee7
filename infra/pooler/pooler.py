"""The pooler between data APIs and Postgres: what it has to serve, and how a data API reaches its database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infra.postgres.cluster import Cluster


@dataclass(frozen=True)
class PoolerEntry:
    """One database that the pooler serves: so many connections, and so many more when they are not enough.

    paused  whether its clients are held back; nobody asks for that but `release`
    """

    database: str
    pool_size: int
    reserve: int
    paused: bool = False

    @property
    def max_connections(self) -> int:
        """How many connections all its logins share."""
        return self.pool_size + self.reserve


class Pooler(Protocol):
    """Verbs that state the wanted end, whether there is a pooler or not. All raise Unavailable."""

    @property
    def exists(self) -> bool:
        """Whether there is a pooler at all."""

    def prepare(self, session: str) -> None:
        """Ensure that the pooler's own login exists, by which it asks for the projects' logins; cheap when it is."""

    def serve(self, wanted: Callable[[], Sequence[PoolerEntry]]) -> bool:
        """Serve exactly the databases that are wanted; return whether anything had to be changed.

        wanted  asked while nobody else changes them, so that no older list goes over a newer one

        Raises Unavailable, Refused.
        """

    def write(self, wanted: Callable[[], Sequence[PoolerEntry]]) -> bool:
        """Write its files for a pooler that is about to start; return whether they were written."""

    def served(self) -> list[PoolerEntry]:
        """Return what it serves now of the projects."""

    def databases(self) -> list[str]:
        """Return the names of all databases that it serves now, the platform's own too."""

    def release(self, database: str) -> None:
        """Release every connection to a database, and take no new ones, before it is renamed or dropped.

        Clients wait for it meanwhile. What is in the middle of a transaction has a moment to come to its end.
        """

    def resume(self, database: str) -> None:
        """Serve a database again after a release."""

    def reconnect(self, database: str) -> None:
        """Have connections that were opened before replaced as they fall free; its clients wait no more."""

    def change_passwords(self, database: str, logins: Mapping[str, str], change: Callable[[], None]) -> None:
        """Change the passwords of logins by `change`, so that none of their clients fails for it.

        logins  the passwords that they take from then on
        """

    def data_uri(self, database: str, user: str, password: str) -> str:
        """Return the libpq URI with which a data API reaches its database."""

    def uri(self, database: str, user: str, password: str) -> str:
        """Return the libpq URI with which processes of our own, and clients of a project, go the same way."""


class NoPooler:
    """Data APIs connect to Postgres themselves."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def exists(self) -> bool:
        """There is none."""
        return False

    def prepare(self, session: str) -> None:
        """Nothing has to be there."""

    def serve(self, wanted: Callable[[], Sequence[PoolerEntry]]) -> bool:  # noqa: ARG002 - nobody is asked
        """Nothing stands between."""
        return False

    def write(self, wanted: Callable[[], Sequence[PoolerEntry]]) -> bool:  # noqa: ARG002 - nobody is asked
        """Nothing has to start."""
        return False

    def served(self) -> list[PoolerEntry]:
        """Nothing is served."""
        return []

    def databases(self) -> list[str]:
        """Nothing is served."""
        return []

    def release(self, database: str) -> None:
        """Nothing stands between."""

    def resume(self, database: str) -> None:
        """Nothing stands between."""

    def reconnect(self, database: str) -> None:
        """Nothing stands between."""

    def change_passwords(self, database: str, logins: Mapping[str, str], change: Callable[[], None]) -> None:  # noqa: ARG002
        """Change them; sessions that are open stay so."""
        change()

    def data_uri(self, database: str, user: str, password: str) -> str:
        """Return the URI of the server itself."""
        return self._cluster.uri(database, user, password)

    def uri(self, database: str, user: str, password: str) -> str:
        """Return the URI of the server itself."""
        return self._cluster.uri(database, user, password)
