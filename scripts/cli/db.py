"""launchdb db: the administrator's way to the databases."""

from __future__ import annotations

import click
from psycopg.conninfo import conninfo_to_dict

from catalog.ids import is_project_id
from infra import secretfiles
from infra.cluster import Cluster
from scripts.cli.context import Session, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.output import emit, emit_json, json_option


@click.group()
def db() -> None:
    """Reach the databases as their administrator."""


@db.command()
@click.argument("name", required=False)
@json_option
@pass_session
def dsn(session: Session, name: str | None, *, as_json: bool) -> None:
    """Print the administrator's libpq URI of the platform database, or of the project NAME (its id or name).

    It is secret: it holds the superuser's password.
    """
    settings = session.settings
    if not settings.database_url:
        raise CliError(f"there is no installation in {settings.home}; start one with `launchdb up`", NOT_FOUND)
    known = conninfo_to_dict(settings.database_url)
    database = str(known.get("dbname") or "postgres")
    if name:
        database = name if is_project_id(name) else str(session.project(name)["id"])
    password = str(known.get("password") or "") or secretfiles.current(
        settings.secrets_folder, "POSTGRES_SUPERUSER_PASSWORD"
    )
    uri = Cluster(settings.database_url).uri(database, str(known.get("user") or "postgres"), password)
    if as_json:
        emit_json({"dsn": uri})
        return
    emit([uri])
