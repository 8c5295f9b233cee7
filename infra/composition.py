"""The composition root: everything outside, opened from the settings. Nothing connects at import time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from infra import mail, master_keys, secretfiles
from infra.cluster import Cluster
from infra.database import Database
from infra.databases import Databases
from infra.doorbell import Doorbell
from infra.instances import EmbeddedInstances, Instances
from infra.pgbouncer import PgBouncer, Place
from infra.pooler import NoPooler, Pooler
from infra.project_limits import Limits
from infra.vault import Vault

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.mail import Carrier

# Where the pooler's sockets lie in a project's container.
SOCKETS_INSIDE = "/run/pgbouncer"


@dataclass
class Infra:
    """The opened world. One per process; close() gives everything back."""

    settings: Settings
    database: Database
    doorbell: Doorbell
    databases: Databases
    vault: Vault
    instances: Instances
    pooler: Pooler
    mail: Carrier | None = None

    @classmethod
    def open(cls, settings: Settings, *, name: str = "launchdb") -> Infra:
        """Open pools and clients; they connect in the background. Raises nothing for a server that is away."""
        doorbell = Doorbell(settings.redis_url)
        database = Database(settings.database_url, name=name, max_size=settings.database_pool_size, bell=doorbell)
        doorbell.fallback = database.notify
        databases = _databases(settings, database.conninfo)
        return cls(
            settings=settings,
            database=database,
            doorbell=doorbell,
            databases=databases,
            vault=Vault(lambda: secretfiles.read(settings.secrets_folder, master_keys.NAME)),
            instances=EmbeddedInstances(settings.instances_folder, settings.base_url),
            pooler=_pooler(settings, databases.cluster, _name(database.conninfo)),
            mail=mail.of(settings),
        )

    def close(self) -> None:
        """Close what was opened."""
        self.databases.close()
        self.database.close()
        self.doorbell.close()


def _databases(settings: Settings, conninfo: str) -> Databases:
    return Databases(
        Cluster(conninfo), Limits.of(settings), platform=_name(conninfo), migrations=settings.project_migrations
    )


def _pooler(settings: Settings, cluster: Cluster, platform: str) -> Pooler:
    if not settings.pooler_url:
        return NoPooler(cluster)
    place = Place(
        url=settings.pooler_url,
        folder=settings.home / "pgbouncer",
        secrets=settings.secrets_folder,
        sockets=settings.run_folder / "pgbouncer",
        inside="" if settings.runtime == "embedded" else SOCKETS_INSIDE,
    )
    return PgBouncer(place, cluster, platform=platform)


def _name(conninfo: str) -> str:
    return str(conninfo_to_dict(conninfo).get("dbname") or "postgres")
