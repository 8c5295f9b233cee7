"""The floor of provisioning in containers: the same image started by the same call, and the bare SQL."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from typing import TYPE_CHECKING

from psycopg import sql

from catalog.ids import new_project_id
from infra.host import docker_cli
from infra.instances.containers import health
from infra.instances.containers.docker import Docker
from infra.instances.containers.shape import ContainerShape
from infra.instances.instances import CreatedBy
from infra.postgres import scram
from infra.postgres.project_roles import LABEL, role_identifiers
from infra.postgres.role_names import ProjectRoles
from infra.postgres.sql import statements
from scripts.bench import provision_floor

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings

SQL = statements(provision_floor.__file__)
ANSWER_SECONDS, LOOK_SECONDS = 30.0, 0.005
# The worker's own connection: as far from Postgres as the platform is.
PSQL = ("sh", "-c", 'exec "$LAUNCHDB_POSTGRES_BIN"/psql -X -q -v ON_ERROR_STOP=1 "$LAUNCHDB_DATABASE_URL"')
WORKER = "launchdb-worker"
TEMPLATE = (
    "SELECT datname FROM pg_database WHERE datistemplate AND datname LIKE 'template\\_%' ORDER BY oid DESC LIMIT 1;"
)


def container_ms(settings: Settings, like: str) -> float:
    """Start a container as the platform makes them, with the configuration of project `like`; time until it answers."""
    project = new_project_id()
    docker = Docker(ContainerShape.of(settings), settings.docker_socket)
    configuration = settings.instances_folder / project
    sockets = settings.run_folder / "projects" / project
    shutil.copytree(settings.instances_folder / like, configuration)
    sockets.mkdir(mode=0o700)
    for path in (configuration, *configuration.iterdir(), sockets):
        shutil.chown(path, 10001, 10001)
    try:
        start = time.perf_counter()
        docker.create(project, CreatedBy())
        docker.start(project)
        _wait_for(sockets / "api.sock")
        return (time.perf_counter() - start) * 1000
    finally:
        docker.stop(project)
        docker.remove(project)
        shutil.rmtree(configuration, ignore_errors=True)
        shutil.rmtree(sockets, ignore_errors=True)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while health.ask_health(path) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the container does not answer")
        time.sleep(LOOK_SECONDS)


def sql_ms(rounds: int) -> list[float]:
    """Time the bare SQL of projects, as psql measures it on one connection; nothing is left."""
    template = docker_cli.execute(WORKER, PSQL, feed=f"\\t on\n\\pset format unaligned\n{TEMPLATE}\n".encode()).strip()
    found = []
    for _ in range(rounds):
        project = new_project_id()
        try:
            said = docker_cli.execute(WORKER, PSQL, feed=_script(project, template).encode())
            found.append(sum(float(each) for each in re.findall(r"^Time: ([\d.]+) ms", said, re.MULTILINE)))
        finally:
            docker_cli.execute(WORKER, PSQL, feed=_removal(project).encode())
    return found


def _script(project: str, template: str) -> str:
    roles = ProjectRoles(project)
    words = {}
    for login in roles.logins:
        rounds = scram.CLIENT_ROUNDS if login == roles.owner else scram.FEW_ROUNDS
        words[f"{login.rpartition('_')[2]}_password"] = sql.Literal(
            scram.verifier(secrets.token_urlsafe(32), rounds=rounds)
        )
    named = {
        **role_identifiers(roles),
        **words,
        "database": sql.Identifier(project),
        "label": sql.Literal(f"{LABEL}{project}"),
    }
    copy = SQL.copy.format(**named, template=sql.Identifier(template)).as_string(None)
    parts = ["\\timing on", SQL.roles.format(**named).as_string(None), copy, "\\timing off", f"\\c {project}"]
    return "\n".join([*parts, "\\timing on", SQL.grants.format(**named).as_string(None), ""])


def _removal(project: str) -> str:
    roles = ProjectRoles(project)
    drops = [f'DROP DATABASE IF EXISTS "{project}" WITH (FORCE);']
    return "\n".join([*drops, *(f'DROP ROLE IF EXISTS "{role}";' for role in roles.all), ""])
