"""project.provision: a row becomes a project that answers; what fails is taken back."""

from __future__ import annotations

import stat
import threading
from collections import Counter

import jwt
import psycopg
import pytest

from catalog import inventory, names
from jobs.engine.commands import JobConflict, cancel, retry
from jobs.kinds import DeleteProject, ProvisionProject
from jobs.projects.steps import check_round_trip
from tests.fixtures.projects import add_project

STEPS = (
    "store_secrets",
    "create_roles",
    "clone_template",
    "add_to_pooler",
    "open_data_api",
    "open_auth",
    "open_storage",
    "check_round_trip",
    "mark_active",
)


def test_a_provisioned_project_is_active_and_owns_all_its_things(life):
    job = life.provision()
    assert (job.status, job.error, job.result) == ("succeeded", None, {"projectId": life.id})
    assert life.engine.steps(job.id) == dict.fromkeys(STEPS, "succeeded")
    assert life.row()["status"] == "active"
    assert life.row()["template"] == life.infra.databases.templates.name
    assert life.ledger() == {(kind, "present") for kind in ("role", "database", "instance", "auth", "storage")}
    things = life.things()
    assert {thing.verdict for thing in things} == {"owned"}
    single = dict.fromkeys(("database", "instance", "auth", "storage", "secrets"), 1)
    assert Counter(thing.kind for thing in things) == {"role": 8, **single}


def test_the_owner_logs_in_and_the_data_api_serves_what_it_makes(life):
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE notes (id int PRIMARY KEY, body text)")
        owner.execute("INSERT INTO notes VALUES (1, 'hello')")
    with tenant.connect(tenant.roles.authenticator) as api, api.transaction():
        api.execute(f"SET LOCAL ROLE {tenant.roles.anon}")
        assert api.execute("SELECT body FROM notes").fetchone() == ("hello",)


def test_the_keys_carry_both_roles_and_open_with_the_projects_own_secret(life):
    life.provision()
    known = life.secrets()
    for name, role, db_role in (
        (names.ANON_KEY, "anon", life.tenant().roles.anon),
        (names.SERVICE_KEY, "service_role", life.tenant().roles.service),
    ):
        claims = jwt.decode(known[name], known[names.JWT_SECRET], algorithms=["HS256"])
        assert (claims["role"], claims["db_role"], claims["ref"], claims["iss"]) == (role, db_role, life.id, "launchdb")
        assert claims["exp"] > claims["iat"]
        assert "sub" not in claims


def test_the_data_api_is_told_what_it_needs_in_a_file_for_its_eyes_only(life):
    life.provision()
    folder = life.infra.settings.instances_folder / life.id
    text = (folder / "data-api.conf").read_text()
    assert f'db-uri = "{life.tenant().uri(life.tenant().roles.authenticator)}"' in text
    assert f'db-anon-role = "{life.id}_anon"' in text
    assert 'jwt-role-claim-key = ".db_role"' in text
    assert life.secrets()[names.JWT_SECRET] in text
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_the_proof_of_a_round_trip_leaves_nothing(life):
    life.provision()
    with life.tenant().as_admin() as admin:
        assert admin.execute("SELECT count(*) FROM storage.buckets").fetchone() == (0,)


def test_a_repeated_provision_changes_nothing(life):
    life.provision()
    before = (life.secrets(), life.things())
    job = life.provision()
    assert job.status == "succeeded"
    assert (life.secrets(), life.things()) == before


def test_a_project_that_cannot_be_made_is_taken_back_and_keeps_its_name_and_the_reason(life, platform_url):
    with psycopg.connect(platform_url, autocommit=True) as stranger:
        stranger.execute(f'CREATE DATABASE "{life.id}"')
    try:
        job = life.provision()
        assert job.status == "failed"
        assert life.row()["status"] == "failed"
        assert "is not ours" in life.row()["status_reason"]
        assert life.things() == []
        assert life.secrets() == {}
        assert {state for _, state in life.ledger()} == {"gone"}
    finally:
        with psycopg.connect(platform_url, autocommit=True) as stranger:
            stranger.execute(f'DROP DATABASE "{life.id}"')
    with life.infra.database.transaction() as tx:
        retry(tx, job.id)
    assert life.row()["status"] == "provisioning"
    life.engine.runner.drain()
    assert (life.engine.job(job.id).status, life.row()["status"]) == ("succeeded", "active")


def test_a_cancelled_provision_is_undone(life, monkeypatch):
    job = life.engine.enqueue(ProvisionProject(life.id))

    def cancel_first(run):
        with life.infra.database.transaction() as tx:
            cancel(tx, job.id, by="test")
        check_round_trip(run)

    step = next(step for step in ProvisionProject.kind.steps if step.act is check_round_trip)
    cancel_first.__name__ = step.name
    monkeypatch.setitem(step.__dict__, "act", cancel_first)
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "cancelled"
    assert life.row()["status"] == "failed"
    assert life.things() == []


def test_a_deleted_project_is_not_provisioned_again(life):
    job = life.engine.enqueue(ProvisionProject(life.id))
    with life.infra.database.transaction() as tx:
        cancel(tx, job.id, by="test")
    life.delete()
    with life.infra.database.transaction() as tx, pytest.raises(JobConflict):
        retry(tx, job.id)
    assert life.row()["status"] == "deleted"


def test_no_secret_stands_in_the_job_or_its_events(life):
    job = life.provision()
    with life.infra.database.autocommit() as tx:
        told = str(tx.rows("SELECT jobs::text FROM jobs")) + str(tx.rows("SELECT data FROM job_events"))
    for value in life.secrets().values():
        assert value not in told
    assert job.args == {"project_id": life.id}


@pytest.mark.gpg
def test_eight_projects_at_once_come_up_and_go_without_an_error(engine, infra, master_key):
    projects = [add_project(infra) for _ in range(8)]
    for kind in (ProvisionProject, DeleteProject):
        jobs = [engine.enqueue(kind(project)) for project in projects]
        threads = [threading.Thread(target=engine.runner.drain) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        done = [engine.job(job.id) for job in jobs]
        assert {(job.status, job.attempt, str(job.error)) for job in done} == {("succeeded", 1, "None")}
    with infra.database.autocommit() as tx:
        things = inventory.take_inventory(tx, infra)
        assert [thing for thing in things if thing.project_id in projects] == []
        assert {row["status"] for row in tx.rows("SELECT status FROM projects")} == {"deleted"}
