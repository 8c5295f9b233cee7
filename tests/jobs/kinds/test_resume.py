"""project.resume: exactly what was paused comes back."""

from __future__ import annotations

import pytest

from catalog.projects import ProjectBusy
from jobs.engine.commands import JobConflict, cancel, retry
from jobs.requests import lifecycle


@pytest.fixture
def active(life):
    """A provisioned project."""
    life.provision()
    return life


def test_a_resumed_project_is_exactly_what_was_paused(active):
    tenant = active.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE notes AS SELECT 'hello' AS body")
        # What the owner decided about its own schema is not decided anew.
        owner.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM anon")
    text, secrets, things = (active.folder() / "data-api.conf").read_text(), active.secrets(), active.things()
    active.ask(lifecycle.pause)
    job = active.ask(lifecycle.resume)
    assert (job.status, job.error, job.result) == ("succeeded", None, {"projectId": active.id})
    assert active.row()["status"] == "active"
    assert (active.folder() / "data-api.conf").read_text() == text
    assert (active.secrets(), active.things()) == (secrets, things)
    assert active.ledger() == {
        ("role", "present"),
        ("database", "present"),
        ("instance", "present"),
        ("auth", "present"),
        ("storage", "present"),
    }
    for login in tenant.roles.logins:
        tenant.connect(login).close()
    with tenant.connect(tenant.roles.owner) as owner:
        assert owner.execute("SELECT body FROM notes").fetchone() == ("hello",)
        owner.execute("CREATE TABLE hidden ()")
        assert owner.execute("SELECT has_table_privilege('anon', 'hidden', 'SELECT')").fetchone() == (False,)


def test_pause_and_resume_may_follow_each_other_for_ever(active):
    rights = active.rights()
    for _ in range(3):
        assert active.ask(lifecycle.pause).status == "succeeded"
        assert active.ask(lifecycle.resume).status == "succeeded"
    assert sorted(active.rights()) == sorted(rights)


def test_resuming_an_active_project_is_refused_with_the_state(active):
    with active.infra.database.transaction() as tx, pytest.raises(ProjectBusy, match="is active"):
        lifecycle.resume(tx, active.id)


def test_a_resume_that_cannot_prove_itself_leaves_the_project_paused(active):
    active.ask(lifecycle.pause)
    with active.tenant().as_admin() as admin:
        admin.execute("DROP TABLE storage.buckets CASCADE")
    job = active.ask(lifecycle.resume)
    assert job.status in ("failed", "retrying")
    while not active.engine.job(job.id).final:
        active.engine.due_now(job.id)
        active.engine.runner.drain()
    assert active.engine.job(job.id).status == "failed"
    assert (active.row()["status"], active.folder().exists()) == ("paused", False)


def test_a_resume_of_a_deleted_project_is_not_tried_again(active):
    active.ask(lifecycle.pause)
    with active.infra.database.transaction() as tx:
        job = lifecycle.resume(tx, active.id)
    with active.infra.database.transaction() as tx:
        cancel(tx, job.id, by="test")
    active.delete()
    with active.infra.database.transaction() as tx, pytest.raises(JobConflict):
        retry(tx, job.id)
