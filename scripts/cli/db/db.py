"""launchdb db: the administrator's way to the databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from psycopg.conninfo import conninfo_to_dict

from catalog.ids import is_project_id
from catalog.projects import ProjectBusy
from infra.postgres.cluster import Cluster
from infra.secrets import secretfiles
from jobs.engine.enqueue import enqueue
from jobs.engine.view import job_json
from jobs.kinds import MigrateFleet
from jobs.requests import migrating
from scripts.cli.context import CliSession, pass_session
from scripts.cli.db.inventory import inventory, schema
from scripts.cli.errors import CONFLICT, FAILURE, NOT_FOUND, CliError
from scripts.cli.jobs.progress import print_outcome, wait_for_job
from scripts.cli.options import wait_options
from scripts.cli.output import format_table, json_option, print_json, print_lines
from scripts.cli.target import open_home

if TYPE_CHECKING:
    from infra.composition import Infra


@click.group()
def db() -> None:
    """Reach the databases as their administrator."""


db.add_command(inventory)
db.add_command(schema)


@db.command()
@click.argument("name", required=False)
@json_option
@pass_session
def dsn(session: CliSession, name: str | None, *, as_json: bool) -> None:
    """Print the administrator's libpq URI of the platform database, or of the project NAME (its id or name).

    It is secret: it holds the superuser's password.
    """
    settings = session.settings
    if not settings.database_url:
        raise CliError(f"there is no installation in {settings.home}; start one with `launchdb up`", NOT_FOUND)
    url = settings.administrator_url or settings.database_url
    known = conninfo_to_dict(url)
    database = str(known.get("dbname") or "postgres")
    if name:
        database = name if is_project_id(name) else str(session.project(name)["id"])
    password = str(known.get("password") or "") or secretfiles.current(
        settings.secrets_folder, "POSTGRES_SUPERUSER_PASSWORD"
    )
    uri = Cluster(url).uri(database, str(known.get("user") or "postgres"), password)
    if as_json:
        print_json({"dsn": uri})
        return
    print_lines([uri])


@db.command()
@json_option
@pass_session
def sizes(session: CliSession, *, as_json: bool) -> None:
    """List the databases by size, the largest first (operators only)."""
    found = session.client.get("/api/admin/databases")
    if as_json:
        print_json(found)
        return
    columns = ("name", "size", "bytes", "projectName")
    print_lines(
        format_table(
            ("database", "size", "bytes", "project"), ([row[c] for c in columns] for row in found["databases"])
        )
    )


@db.command()
@click.argument("name", required=False)
@click.option("--platform", is_flag=True, help="The platform's own database.")
@wait_options
@json_option
@pass_session
def vacuum(
    session: CliSession, name: str | None, *, platform: bool, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Vacuum the project NAME, the platform's database, or without either all active projects."""
    if name and platform:
        raise click.UsageError("say either NAME or --platform")
    if name:
        path = f"/api/projects/{session.project(name)['id']}/vacuum"
    else:
        path = f"/api/admin/schedules/{'vacuum-platform' if platform else 'vacuum'}/run"
    answer = wait_for_job(session.client, session.client.post(path), wait=not no_wait, timeout=timeout)
    print_outcome(
        answer, lambda: [f"{answer['job']['kind']} {answer['job']['status']}"], as_json=as_json, waited=not no_wait
    )


@db.command()
@click.argument("name", required=False)
@click.option("--check", is_flag=True, help="Only say who is behind; exit 1 when somebody is.")
@click.option("--budget", type=click.IntRange(min=0), default=0, help="How many projects may fail.")
@wait_options
@json_option
@pass_session
def migrate(  # noqa: PLR0913 - one argument for each option
    session: CliSession,
    name: str | None,
    *,
    check: bool,
    budget: int,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Bring all projects that are behind, or the project NAME, to what new ones are made of."""
    infra = open_home(session.settings)
    try:
        if check:
            _tell_behind(infra, as_json=as_json)
            return
        chosen = (name if is_project_id(name) else str(session.project(name)["id"])) if name else None
        with infra.database.transaction() as tx:
            if chosen:
                job = migrating.request_migration(tx, chosen, by="operator")
            else:
                job = enqueue(tx, MigrateFleet(budget=budget), by="operator")
            answer = {"job": job_json(tx, job)}
    except ProjectBusy as error:
        raise CliError(str(error), CONFLICT) from error
    finally:
        infra.close()
    answer = wait_for_job(session.client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(
        answer, lambda: [f"{answer['job']['kind']} {answer['job']['status']}"], as_json=as_json, waited=not no_wait
    )


def _tell_behind(infra: Infra, *, as_json: bool) -> None:
    with infra.database.autocommit() as tx:
        found = migrating.projects_behind(tx, infra)
    looked = [(row, migrating.migration_status(infra, row["id"], "launchdb-cli")) for row in found]
    behind = [
        {"id": row["id"], "name": row["name"], "missing": list(seen.missing), "edited": list(seen.edited)}
        for row, seen in looked
        if seen.missing or seen.edited
    ]
    if as_json:
        print_json({"behind": behind})
    else:
        print_lines(format_table(("id", "name", "missing", "edited"), ([*row.values()] for row in behind)))
    if behind:
        raise click.exceptions.Exit(FAILURE)
