"""A worker killed on the way to a project's container, behind PgBouncer, or away from it: all is there in the end, or nothing."""

from __future__ import annotations

import http.client
import json
import socket

import psycopg
import pytest

from catalog import names
from catalog import secrets as kept
from config.settings import load
from infra.instances.containers import shape
from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.project.delete import DeleteProject
from jobs.kinds.project.provision import ProvisionProject
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import (
    installation,  # noqa: F401 - a fixture
    mark_deleting,
    pass_on,
    run_here,
    seen,
    status,
    steps,
    write,
)
from tests.crash.places import places
from tests.fixtures.containers import DOCKER_SOCKET, IMAGE
from tests.fixtures.projects import add_project, drop, stored_tenant

pytestmark = [pytest.mark.docker, pytest.mark.gpg]

# What is done in Docker and in the pooler, and the place where a worker that begins anew finds it done already.
OUTSIDE = ("add_to_pooler", "open_data_api", "close_data_api", "remove_from_pooler")
DONE_ALREADY = tuple(f"{step}:after_act" for step in OUTSIDE)


def chosen(arguments) -> list:
    """Every place of a kind; the long campaign has those that Docker and the pooler make no other than they were."""
    return [
        pytest.param(place, marks=() if place.endswith(DONE_ALREADY) else pytest.mark.full)
        for place in (param.values[0] for param in places(arguments))
    ]


@pytest.fixture
def pooled_settings(dockerd, pgbouncer, pooled_settings):
    """Those of an installation whose data APIs are containers behind its pooler."""
    settings = load(environment(pooled_settings), recall=False)
    yield settings
    label = f"{shape.INSTALLATION}={shape.installation_label(settings.home)}"
    for found in dockerd.containers(all=True, filters={"label": [label]}):
        dockerd.remove_container(found["Id"], force=True, v=True)


def environment(settings) -> dict[str, str]:
    """What its processes are told. Leases are as long as ever: nobody here renews them while a container starts."""
    return {
        "LAUNCHDB_HOME": str(settings.home),
        "LAUNCHDB_DATABASE_URL": settings.database_url,
        "LAUNCHDB_REDIS_URL": settings.redis_url,
        "LAUNCHDB_POOLER_URL": settings.pooler_url,
        "LAUNCHDB_RUNTIME": "docker",
        "LAUNCHDB_DATA_API_IMAGE": IMAGE,
        "LAUNCHDB_DOCKER_SOCKET": DOCKER_SOCKET,
    }


@pytest.fixture
def settings(pooled_settings):
    """The installation's, for what tests/crash shares."""
    return pooled_settings


@pytest.fixture
def infra(pooled):
    """The installation, for what tests/crash shares."""
    return pooled


@pytest.fixture
def project(infra):
    """A row that waits to be provisioned; nothing of it outlives the test."""
    made = add_project(infra)
    yield made
    infra.instances.remove(made)
    infra.pooler.serve(list)
    drop(infra, made)


def killed_then_carried_on(infra, job, crash):
    """Kill a worker at the place; another one finishes the job."""
    settings = infra.settings
    assert attempt_in_a_process(settings, crash=crash, **environment(settings)) == EXIT_STATUS, "it was not reached"
    pass_on(infra)
    run_here(infra, job)


def asked(infra, project, path, *, method="GET", body=None) -> tuple[int, object]:
    """Ask the project's container by its socket, with the service key."""
    with infra.database.autocommit() as tx:
        key = kept.read_all(tx, infra.vault, project)[names.SERVICE_KEY]
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(infra.settings.run_folder / "projects" / project / "api.sock"))
    headers = {"X-Launchdb-Prefix": f"/db/{project}", "apikey": key, "Authorization": f"Bearer {key}"}
    raw = None if body is None else json.dumps(body)
    connection.request(method, path, raw, {**headers, "Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, json.loads(said) if said else None


def containers(dockerd, project) -> list[str]:
    """The state of each container that bears the project's name."""
    found = dockerd.containers(all=True, filters={"name": [project]})
    return [one["State"] for one in found]


def left(dockerd, infra, project) -> list[str]:
    """What bears the project's id outside of its history and its last backup."""
    found = [f"container {state}" for state in containers(dockerd, project)]
    home = infra.settings.home
    found += [str(path) for path in home.rglob(f"*{project}*") if home / "backups" not in path.parents]
    found += [f"pooler entry {entry.database}" for entry in infra.pooler.served() if entry.database == project]
    found += ["line in pgbouncer.ini"] * (project in (home / "pgbouncer" / "pgbouncer.ini").read_text())
    with psycopg.connect(infra.database.conninfo) as admin:
        rows = admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %(like)s"
            " UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE %(like)s",
            {"like": f"{project}%"},
        ).fetchall()
    return found + [row[0] for row in rows]


@pytest.mark.parametrize("crash", chosen(ProvisionProject))
def test_a_killed_provision_ends_with_a_project_that_answers(crash, dockerd, installation, project):  # noqa: F811
    job = write(installation, ProvisionProject(project))
    killed_then_carried_on(installation, job, crash)
    assert status(installation, project) == "active"
    assert set(steps(installation, job).values()) == {"succeeded"}
    assert containers(dockerd, project) == ["running"]
    assert [entry.database for entry in installation.pooler.served()] == [project]
    tenant = stored_tenant(installation, project)
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE notes (id int PRIMARY KEY)")
    assert asked(installation, project, "/notes", method="POST", body={"id": 1})[0] == 201
    assert asked(installation, project, "/notes") == (200, [{"id": 1}])


@pytest.mark.parametrize("crash", chosen(DeleteProject))
def test_a_killed_deletion_ends_with_nothing(crash, dockerd, installation, project):  # noqa: F811
    run_here(installation, write(installation, ProvisionProject(project)))
    mark_deleting(installation, project)
    job = write(installation, DeleteProject(project))
    killed_then_carried_on(installation, job, crash)
    assert status(installation, project) == "deleted"
    assert left(dockerd, installation, project) == []
    assert seen(installation, project) == []
