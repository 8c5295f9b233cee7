"""What each service of an installation in containers is given: secrets by their files, and a login on Postgres.

One table for all who deal it out: the folders that containers mount, the logins, and what a service looks at before it
serves. docs/security.md says the same to people, and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.secrets import secretfiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import Settings

SUPERUSER, SUPERUSER_FILE = "postgres", "POSTGRES_SUPERUSER_PASSWORD"
# libpq finds passwords there by itself: in no URI, argument or environment.
PGPASS = "pgpass"
LOGINS: Mapping[str, str] = {f"launchdb_{name.lower()}": file for name, file in secretfiles.LOGIN_FILES.items()}


@dataclass(frozen=True)
class ServiceSecrets:
    """What one service is given.

    files          secrets that it reads
    login          as which it works on the platform's database; nothing: it does not
    administrator  whether it has Postgres's superuser besides
    everything     whether it keeps the secrets' own folder, as who rotates them has to
    """

    files: tuple[str, ...] = ()
    login: str = ""
    administrator: bool = False
    everything: bool = False

    @property
    def logins(self) -> dict[str, str]:
        """The logins on Postgres whose passwords it has, with the files of these."""
        own = {self.login: LOGINS[self.login]} if self.login else {}
        return {**({SUPERUSER: SUPERUSER_FILE} if self.administrator else {}), **own}


# By the names of the services in compose.yaml. Who is not named has none.
SERVICES: Mapping[str, ServiceSecrets] = {
    "postgres": ServiceSecrets((SUPERUSER_FILE,)),
    # Makes the logins, so it knows their passwords.
    "migrations": ServiceSecrets(
        ("INTERNAL_API_KEY", *secretfiles.OWN, SUPERUSER_FILE), login="launchdb_worker", administrator=True
    ),
    "platform-api": ServiceSecrets(("LAUNCHDB_MASTER_KEY", "PLATFORM_JWT_SECRET"), login="launchdb_api"),
    "postgrest-manager": ServiceSecrets(("INTERNAL_API_KEY",), login="launchdb_manager"),
    "auth-service": ServiceSecrets(login="launchdb_auth"),
    "storage-service": ServiceSecrets((secretfiles.STORE_SECRET,), login="launchdb_storage"),
    "scheduler": ServiceSecrets(login="launchdb_scheduler"),
    "backup": ServiceSecrets(("PLATFORM_JWT_SECRET",), login="launchdb_backup"),
    "worker": ServiceSecrets(login="launchdb_worker", administrator=True, everything=True),
    "worker-bulk": ServiceSecrets(login="launchdb_worker", administrator=True, everything=True),
}


def held_files(settings: Settings) -> tuple[str, ...]:
    """Return the secrets that this process has to find: those of its service, or all where there is one account."""
    given = SERVICES.get(settings.service, ServiceSecrets())
    if not settings.service or given.everything:
        return tuple(secretfiles.NAMES)
    return tuple(name for name in given.files if name in secretfiles.NAMES)
