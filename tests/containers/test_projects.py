"""Projects whose data API is a container, from their provisioning to their end, by the engine's own jobs."""

from __future__ import annotations

import json
import os
import socket

import psycopg
import pytest

from catalog import names
from infra.composition import Infra
from infra.instances.containers import shape
from infra.instances.instances import CreatedBy
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.loops.sweeper import Sweeper
from tests.fixtures import containers
from tests.fixtures.projects import add_project, drop, keep_master_key
from tests.fixtures.servers import wait_until
from tests.jobs.conftest import Engine
from tests.jobs.kinds.conftest import Life

pytestmark = pytest.mark.docker


@pytest.fixture
def settings(dockerd, platform_url, valkey_url, server_url):
    """An installation whose containers reach this session's Postgres."""
    with containers.installation(dockerd, LAUNCHDB_DATABASE_URL=platform_url, LAUNCHDB_REDIS_URL=valkey_url) as made:
        keep_master_key(made)
        server = psycopg.conninfo.conninfo_to_dict(server_url)
        path = made.run_folder / "pgbouncer" / ".s.PGSQL.6432"
        with containers.forwarded(path, server["host"], int(server["port"])):
            yield made


@pytest.fixture
def infra(settings):
    opened = Infra.open(settings)
    opened.pooler = containers.SocketFolder(opened.databases.cluster)
    yield opened
    opened.close()


@pytest.fixture
def life(infra):
    engine = Engine(infra)
    project = add_project(infra)
    yield Life(engine, infra, project)
    drop(infra, project)
    engine.close()


def asked(life, path, *, method="GET", key=None, body=None, **headers):
    """Ask the container as the edge does; return status, headers and JSON."""
    import http.client

    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(life.infra.settings.run_folder / "projects" / life.id / "api.sock"))
    sent = {"X-Launchdb-Prefix": f"/project/{life.id}/rest/v1", "X-Launchdb-Gate": "apikey", **headers}
    if key:
        sent["apikey"] = key
    raw = None if body is None else json.dumps(body)
    connection.request(method, path, raw, {**sent, **({"Content-Type": "application/json"} if raw else {})})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), json.loads(said) if said else None


def swept(life):
    """Have the sweep look once and its jobs be carried out; return what it told them."""
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET updated_at = now() - interval '1 minute'")
        tx.execute("UPDATE jobs SET finished_at = now() - interval '1 minute' WHERE finished_at IS NOT NULL")
    Sweeper(life.infra).run_once()
    with life.infra.database.autocommit() as tx:
        rows = tx.rows("SELECT id, args FROM jobs WHERE kind = 'project.reconcile' AND status = 'queued'", {})
    life.engine.runner.drain()
    assert {life.engine.job(row["id"]).status for row in rows} <= {"succeeded"}
    return [fault for row in rows for fault in row["args"]["found"]]


def mine(dockerd, life):
    return dockerd.containers(all=True, filters={"name": [f"^/postgrest-{life.id}$"]})


def test_a_project_is_served_by_its_container_and_leaves_nothing(dockerd, life):
    job = life.provision()
    assert (job.status, job.error) == ("succeeded", None)
    labels = mine(dockerd, life)[0]["Labels"]
    assert labels[shape.JOB] == job.id
    with life.tenant().connect(life.tenant().roles.owner) as owner:
        owner.execute("CREATE TABLE notes (id int PRIMARY KEY, body text)")
    key = life.secrets()[names.SERVICE_KEY]
    assert asked(life, "/notes")[0] == 401
    status, headers, _ = asked(
        life, "/notes", method="POST", key=key, body={"id": 1, "body": "hello"}, Prefer="return=headers-only"
    )
    assert (status, headers["Location"]) == (201, "/notes?id=eq.1")
    assert asked(life, f"/notes?select=body&apikey={key}")[2] == [{"body": "hello"}]
    described = asked(life, "/", key=key)[2]
    assert f"{described['schemes'][0]}://{described['host']}" == life.infra.settings.base_url
    assert described["basePath"] == f"/db/{life.id}"
    assert life.delete().status == "succeeded"
    assert mine(dockerd, life) == []
    kept = {path.parent.name for path in life.infra.settings.home.rglob(f"*{life.id}*")}
    assert kept <= {"backups"}
    assert life.things() == []


@pytest.mark.parametrize("act", ["kill", "stop", "remove"])
def test_the_sweep_heals_what_was_done_to_a_container_behind_our_back(dockerd, life, act):
    life.provision()
    assert swept(life) == []
    name = f"postgrest-{life.id}"
    dockerd.remove_container(name, force=True) if act == "remove" else getattr(dockerd, act)(name)
    found = swept(life)
    assert len(found) == 1
    assert "its container is " in found[0]
    assert mine(dockerd, life)[0]["State"] == "running"
    assert swept(life) == []


def test_a_paused_project_has_no_container_and_a_resumed_one_has(dockerd, life):
    from jobs.requests import lifecycle

    life.provision()
    assert life.ask(lifecycle.pause).status == "succeeded"
    assert mine(dockerd, life) == []
    assert swept(life) == []
    assert life.ask(lifecycle.resume).status == "succeeded"
    assert mine(dockerd, life)[0]["State"] == "running"


def test_an_idle_project_gives_its_container_back_and_a_woken_one_has_one(dockerd, life):
    from jobs.requests import lifecycle

    life.provision()
    with life.infra.database.autocommit() as tx:
        tx.execute(
            """INSERT INTO project_settings (project_id, settings) VALUES (%s, '{"idleMinutes": 1}')""", (life.id,)
        )
    mark = life.infra.settings.run_folder / "projects" / life.id / "last-request"
    mark.unlink(missing_ok=True)
    key = life.secrets()[names.SERVICE_KEY]
    # Whoever runs in the container can say that it was asked, once a second.
    wait_until(lambda: asked(life, "/", key=key) and mark.exists())
    for path in (mark, life.folder() / "last-request"):
        os.utime(path, (1, 1))
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET updated_at = now() - interval '1 hour'")
        tx.execute("UPDATE jobs SET finished_at = now() - interval '1 hour'")
    assert life.ask(lifecycle.sleep).result["asleep"] is True
    assert mine(dockerd, life) == []
    assert swept(life) == []
    assert life.ask(lifecycle.wake).status == "succeeded"
    assert mine(dockerd, life)[0]["State"] == "running"


def test_the_sweep_removes_what_ended_of_nobody_and_leaves_the_rest(dockerd, life):
    """One of a project that is not known goes once it has ended; one that runs, and a paused project's, stay."""
    life.provision()
    instances, stray, running = life.infra.instances, containers.new_spec(), containers.new_spec()
    for spec in (stray, running):
        instances.ensure(spec, CreatedBy())
    dockerd.stop(f"postgrest-{stray.id}")
    dockerd.stop(f"postgrest-{life.id}")
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status = 'paused' WHERE id = %s", (life.id,))
    Sweeper(life.infra).run_once()
    states = {one.project_id: one.state for one in instances.snapshot().containers.values()}
    assert states == {life.id: "exited", running.id: "running"}
    instances.remove(stray.id)
    instances.remove(running.id)


def test_while_docker_is_away_the_rest_is_swept_and_a_job_waits_for_it(life):
    life.provision()
    away = life.infra.settings.model_copy(update={"docker_socket": life.infra.settings.home / "none.sock"})
    from infra.composition import instances

    before, life.infra.instances = life.infra.instances, instances(away)
    assert swept(life) == []
    job = life.engine.enqueue(ReconcileProject(life.id))
    life.engine.runner.drain()
    assert life.engine.job(job.id).status in ("queued", "retrying")
    life.infra.instances.close()
    life.infra.instances = before
    life.engine.due_now(job.id)
    with life.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM breakers")
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "succeeded"
