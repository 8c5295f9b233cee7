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
from infra.pooler import NoPooler, Pooler
from infra.project_limits import Limits
from infra.proxy import Proxy
from infra.vault import Vault

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.mail import Carrier


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
    proxy: Proxy | None = None

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
            pooler=NoPooler(databases.cluster),
            mail=mail.of(settings),
            # An embedded installation has no Caddy before it.
            proxy=None if settings.runtime == "embedded" else Proxy(settings),
        )

    def close(self) -> None:
        """Close what was opened."""
        self.databases.close()
        self.database.close()
        self.doorbell.close()


def _databases(settings: Settings, conninfo: str) -> Databases:
    platform = str(conninfo_to_dict(conninfo).get("dbname") or "postgres")
    return Databases(Cluster(conninfo), Limits.of(settings), platform=platform, migrations=settings.project_migrations)
