"""project.restart: clients are put out, and what was served is served again."""

from __future__ import annotations

import psycopg
import pytest

from catalog.projects import ProjectBusy
from jobs.engine.commands import JobConflict, cancel, retry
from jobs.requests import lifecycle


def stamp_of(file):
    """What the data API compares: a new file may get the old one's inode, but not its time as well."""
    seen = file.stat()
    return seen.st_ino, seen.st_mtime_ns


def test_a_restarted_project_has_lost_its_sessions_and_nothing_else(life):
    life.provision()
    tenant = life.tenant()
    file = life.folder() / "data-api.conf"
    text, stamp, things, secrets = file.read_text(), stamp_of(file), life.things(), life.secrets()
    with tenant.connect(tenant.roles.owner) as owner, tenant.connect(tenant.roles.authenticator) as api:
        job = life.ask(lifecycle.restart)
        for session in (owner, api):
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
    assert (job.status, job.error, job.result) == ("succeeded", None, {"projectId": life.id})
    assert life.row()["status"] == "active"
    assert (file.read_text(), life.things(), life.secrets()) == (text, things, secrets)
    assert stamp_of(file) != stamp, "the data API sees that its configuration is another file"
    tenant.connect(tenant.roles.owner).close()


def test_only_an_active_project_is_restarted(life):
    life.provision()
    life.ask(lifecycle.pause)
    with life.infra.database.transaction() as tx, pytest.raises(ProjectBusy, match="is paused"):
        lifecycle.restart(tx, life.id)


def test_a_restart_asked_for_before_a_pause_is_not_tried_again_after_it(life):
    life.provision()
    with life.infra.database.transaction() as tx:
        job = lifecycle.restart(tx, life.id)
    with life.infra.database.transaction() as tx:
        cancel(tx, job.id, by="test")
    life.ask(lifecycle.pause)
    with life.infra.database.transaction() as tx, pytest.raises(JobConflict):
        retry(tx, job.id)
    assert not life.folder().exists()
