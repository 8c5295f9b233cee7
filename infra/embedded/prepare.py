"""`python -m infra.embedded.prepare`: database, migrations and the projects' template, before anything serves."""

from __future__ import annotations

import sys

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config import surroundings
from config.settings import load
from infra.composition import Infra
from infra.errors import InfraError
from infra.postgres import migrations
from infra.postgres.admin.bounds import BEHIND_ANOTHER
from infra.postgres.database import connect
from infra.secrets import master_keys
from infra.secrets.service_logins import ensure_service_logins
from infra.secrets.services import held_files

SESSION = "launchdb:prepare"


def prepare() -> None:
    """Bring the platform database to this version. May run several times at once. Raises Refused, Unavailable."""
    settings = load()
    url = settings.administrator_url or settings.database_url
    ensure_database(url)
    with connect(url, SESSION, bounds=BEHIND_ANOTHER) as connection:
        migrations.apply_migrations(connection, "platform")
    infra = Infra.open(settings.model_copy(update={"database_url": url}), name="launchdb-prepare")
    try:
        if master_keys.NAME in held_files(settings):
            with infra.database.transaction() as tx:
                infra.vault.check_master_key(tx)
        infra.databases.ensure_shared_roles(SESSION)
        platform = str(conninfo_to_dict(url)["dbname"])
        ensure_service_logins(infra.databases.cluster, platform, settings.secrets_folder, SESSION)
        infra.databases.templates.ensure(SESSION)
        infra.pooler.prepare(SESSION)
    finally:
        infra.close()


def ensure_database(url: str) -> None:
    """Ensure that the database that the URL names exists."""
    name = str(conninfo_to_dict(url).get("dbname") or "postgres")
    try:
        psycopg.connect(url, options=BEHIND_ANOTHER.options_beside(url)).close()
    except psycopg.OperationalError:
        with connect(make_conninfo(url, dbname="postgres"), SESSION, bounds=BEHIND_ANOTHER) as admin:
            if admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
                admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))


def main() -> int:
    """Prepare; say in one line why not."""
    surroundings.enter_own_environment()
    try:
        prepare()
    except (InfraError, psycopg.Error) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the supervisor reads it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
