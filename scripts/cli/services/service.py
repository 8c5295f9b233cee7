"""What every service makes sure of before it serves: an installation, secrets fit for use, the right master key."""

from __future__ import annotations

import time

from config.settings import Settings, load
from infra.composition import Infra
from infra.errors import Unavailable
from infra.secrets import master_keys, secretfiles
from infra.secrets.services import held_files
from scripts.cli.errors import USAGE, CliError

PAUSE_SECONDS = 0.2


def opened_settings(*, patient: bool) -> Settings:
    """Return the settings of an installation that may be served.

    patient  wait for a Postgres that is away; otherwise what must be asked of it is left to whoever waits

    Raises CliError when there is no installation, Refused for unfit secrets and for another master key.
    """
    settings = load()
    for name, value in (("database", settings.database_url), ("redis", settings.redis_url)):
        if not value:
            raise CliError(
                f"there is no platform {name}; start with `launchdb up`, or set LAUNCHDB_{name.upper()}_URL", USAGE
            )
    held = held_files(settings)
    secretfiles.check(settings.secrets_folder, held)
    if master_keys.NAME not in held:
        return settings
    infra = Infra.open(settings, name="launchdb-proof")
    try:
        while not _proven(infra) and patient:
            time.sleep(PAUSE_SECONDS)
    finally:
        infra.close()
    return settings


def reachable_settings() -> Settings:
    """Return the settings for a service that needs the platform's database and no secret. Raises CliError."""
    settings = load()
    if not settings.database_url:
        raise CliError("there is no platform database; set LAUNCHDB_DATABASE_URL", USAGE)
    return settings


def _proven(infra: Infra) -> bool:
    try:
        with infra.database.transaction() as tx:
            infra.vault.check_master_key(tx)
    except Unavailable:
        return False
    return True
