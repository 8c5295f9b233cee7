"""The composition root: everything outside, opened from the settings. Nothing connects at import time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from infra.instances.activity import auth_marks, storage_marks
from infra.instances.auth_files import AuthFiles
from infra.instances.embedded import EmbeddedInstances
from infra.instances.folders import InstanceFolders, SocketFolders
from infra.instances.spec_files import SpecFiles
from infra.instances.storage_files import StorageSpec
from infra.mail import mail
from infra.opened import Opened, close_opened
from infra.pooler.pooler import NoPooler, Pooler
from infra.postgres.cluster import Cluster
from infra.postgres.database import Database
from infra.postgres.databases import Databases
from infra.postgres.limits import ProjectLimits
from infra.secrets import master_keys, secretfiles
from infra.secrets.services import LOGINS
from infra.secrets.vault import Vault
from infra.signals.doorbell import Doorbell

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.edge.proxy import CaddyProxy
    from infra.instances.containers.protocol import ContainerProtocol
    from infra.instances.instances import Instances
    from infra.mail.mail import MailTransport

# Where the pooler's sockets lie in a project's container.
SOCKETS_INSIDE = "/run/pgbouncer"


@dataclass
class Infra:
    """The opened world. One per process; close() gives everything back.

    What a process does not use, it does not open: so it depends on no setting of that, either.
    """

    settings: Settings
    database: Database
    doorbell: Doorbell

    @classmethod
    def open(cls, settings: Settings, *, name: str = "launchdb") -> Infra:
        """Open pools and clients; they connect in the background. Raises nothing for a server that is away.

        Raises Refused for a home in which containers could have no sockets.
        """
        if settings.runtime != "embedded":
            from infra.instances.containers.shape import sockets_of  # noqa: PLC0415 - only where there are containers

            sockets_of(settings)
        doorbell = Doorbell(settings.redis_url)
        database = Database(settings.database_url, name=name, max_size=settings.database_pool_size, bell=doorbell)
        doorbell.fallback = database.notify
        return cls(settings, database, doorbell)

    @Opened
    def databases(self) -> Databases:
        """The projects' databases, by the server's administrator."""
        return _databases(self.settings, _name(self.database.conninfo))

    @Opened
    def vault(self) -> Vault:
        """What seals secrets, and opens them."""
        settings = self.settings
        return Vault(lambda: secretfiles.read(settings.secrets_folder, master_keys.NAME))

    @Opened
    def instances(self) -> Instances:
        """What runs data APIs."""
        return instances(self.settings)

    @Opened
    def auth(self) -> AuthFiles:
        """The files that tell Auth of each project."""
        settings = self.settings
        return AuthFiles(settings.auth_folder, owner=_services_account(settings), marks=auth_marks(settings))

    @Opened
    def storage(self) -> SpecFiles[StorageSpec]:
        """The files that tell Storage of each project."""
        return storage_specs(self.settings)

    @Opened
    def pooler(self) -> Pooler:
        """What stands before the projects' databases."""
        return _pooler(self.settings, self.databases.cluster, _name(self.database.conninfo))

    @Opened
    def mail(self) -> MailTransport | None:
        """What takes mail; None: nothing does."""
        return mail.transport_of(self.settings)

    @Opened
    def proxy(self) -> CaddyProxy | None:
        """Caddy; None: an embedded installation has none before it."""
        return None if self.settings.runtime == "embedded" else _proxy(self.settings)

    @property
    def platform_conninfo(self) -> str:
        """How the platform's own database is reached, as the administrator."""
        return self.databases.cluster.conninfo_in(self.databases.platform)

    def close(self) -> None:
        """Close what was opened."""
        close_opened(self, "instances", "databases")
        self.database.close()
        self.doorbell.close()


def instances(settings: Settings) -> Instances:
    """Return what runs data APIs."""
    if settings.runtime == "embedded":
        return EmbeddedInstances(InstanceFolders(settings.instances_folder, settings.base_url))
    from infra.instances.containers.instances import ContainerInstances  # noqa: PLC0415 - only where there are containers
    from infra.instances.containers.shape import SOCKET, is_own_image, sockets_of  # noqa: PLC0415

    ours, owner = is_own_image(settings.data_api), _services_account(settings)
    values = {"socket": SOCKET, "ours": ours, "listens": not settings.pooler_url}
    return ContainerInstances(
        _verbs(settings),
        InstanceFolders(settings.instances_folder, settings.base_url, values, owner=owner),
        SocketFolders(sockets_of(settings), owner=owner),
        sees_changes=ours,
    )


def storage_specs(settings: Settings) -> SpecFiles[StorageSpec]:
    """Return the files that tell Storage of each project."""
    return SpecFiles(
        settings.storage_specs_folder,
        StorageSpec,
        owner=_services_account(settings),
        marks=storage_marks(settings),
    )


def _services_account(settings: Settings) -> tuple[int, int] | None:
    """Return whose the files for our containers are to be; None: ours."""
    if settings.runtime == "embedded" or os.geteuid() != 0:
        return None
    from infra.instances.containers.shape import USER  # noqa: PLC0415 - only where there are containers

    # As root, as tests are: the containers' own account has to be able to read and to write.
    return USER, USER


def docker(settings: Settings) -> ContainerProtocol:
    """Return Docker itself, as whoever has its socket can ask it for project containers."""
    from infra.instances.containers.docker import Docker  # noqa: PLC0415 - its SDK is heavy, and most processes have no socket
    from infra.instances.containers.shape import ContainerShape  # noqa: PLC0415

    return Docker(ContainerShape.of(settings), settings.docker_socket)


def _verbs(settings: Settings) -> ContainerProtocol:
    if settings.runtime == "docker":
        return docker(settings)
    from infra.instances.broker_client import BrokerClient, broker_socket  # noqa: PLC0415 - only where there is one

    return BrokerClient(broker_socket(settings))


def _databases(settings: Settings, platform: str) -> Databases:
    url = settings.administrator_url or settings.database_url
    # A service whose login is not the superuser's says so by its name; where there is one account, it is everything.
    cluster = Cluster(url, administrator=conninfo_to_dict(url).get("user") not in LOGINS)
    return Databases(cluster, ProjectLimits.of(settings), platform=platform, migrations=settings.project_migrations)


def _proxy(settings: Settings) -> CaddyProxy:
    from infra.edge.proxy import CaddyProxy  # noqa: PLC0415 - only where there is one

    return CaddyProxy(settings)


def _pooler(settings: Settings, cluster: Cluster, platform: str) -> Pooler:
    if not settings.pooler_url:
        return NoPooler(cluster)
    from infra.pooler.pgbouncer import PgBouncer, PgBouncerAddress  # noqa: PLC0415 - only where there is one

    place = PgBouncerAddress(
        url=settings.pooler_url,
        folder=settings.home / "pgbouncer",
        secrets=settings.secrets_folder,
        sockets=settings.run_folder / "pgbouncer",
        inside="" if settings.runtime == "embedded" else SOCKETS_INSIDE,
    )
    return PgBouncer(place, cluster, platform=platform)


def _name(conninfo: str) -> str:
    return str(conninfo_to_dict(conninfo).get("dbname") or "postgres")
