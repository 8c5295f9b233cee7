"""A disk that is nearly full: what would fill it is not begun, everybody who looks is told, and it heals by itself."""

from __future__ import annotations

import psycopg
import pytest

from infra.disk import DiskFull, disk_spaces, require_disk_space
from infra.errors import Unavailable
from infra.postgres.database import translate_errors
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.project.provision import ProvisionProject
from jobs.requests import doctor
from jobs.requests.attention import wants_attention
from tests.app.test_bad_input import problem
from tests.app.test_limits import another
from tests.fixtures.projects import add_project

FULL = {"DISK_RESERVE_MB": str(10**9)}


def test_a_full_disk_is_told_to_whoever_looks_and_nothing_large_is_begun(app, settings):
    with another(settings, **FULL) as town:
        boss, owner = town.owner(operator=True), town.owner()
        refused = owner.post("/api/projects", json={"name": "shop"})
        told = problem(refused, 507)
        assert (told["type"], refused.headers["Retry-After"]) == ("/problems/disk-full", "60")
        assert "too little room on the disk" in told["detail"]
        assert str(settings.home) not in told["detail"], "tenants are shown no paths of the host"
        assert owner.get("/api/projects").json()["projects"] == []
        ready = town.stranger().get("/api/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["dependencies"]["disk"]["status"] == "unavailable"
        [wants] = [entry for entry in boss.get("/api/admin/attention").json()["attention"] if "disk" in entry["what"]]
        assert str(settings.home) in wants["detail"]
        findings = boss.get("/api/admin/doctor").json()["findings"]
        assert [entry["status"] for entry in findings if entry["check"] == "disk"] == ["failure"]


def test_with_room_nobody_is_told_anything(town, settings):
    assert town.stranger().get("/api/ready").json()["dependencies"]["disk"]["status"] == "ok"
    with town.infra.database.autocommit() as tx:
        assert [entry for entry in wants_attention(tx, settings) if "disk" in str(entry["what"])] == []
        assert [finding.status for finding in doctor.disk(tx, settings)] == ["ok"]


@pytest.mark.parametrize("kind", [ProvisionProject, BackupProject])
def test_a_job_waits_for_room_and_goes_on_by_itself(infra, engine, settings, kind, master_key):
    project = add_project(infra, status="provisioning" if kind is ProvisionProject else "active")
    job = engine.enqueue(kind(project))
    infra.settings = settings.model_copy(update={"disk_reserve_mb": 10**9})
    try:
        engine.runner.drain()
    finally:
        infra.settings = settings
    waiting = engine.job(job.id)
    assert waiting.status == "retrying"
    assert "nearly full" in str(waiting.error)
    require_disk_space(settings)


def test_each_disk_is_named_once(settings):
    settings.backups_folder.mkdir(parents=True, exist_ok=True)
    assert [space.folder for space in disk_spaces(settings)] == [settings.home]
    with pytest.raises(DiskFull, match=f"the disk of {settings.home} is nearly full: [0-9]+ MB are free"):
        require_disk_space(settings.model_copy(update={"disk_reserve_mb": 10**9}))


def test_what_postgres_says_of_its_full_disk_is_said_in_words():
    with pytest.raises(Unavailable, match="the disk of Postgres is full"), translate_errors():
        raise psycopg.errors.DiskFull


def test_a_full_disk_is_a_metric(app):
    from app.platform.operations.internal import create_internal_app

    written = create_internal_app(app).test_client().get("/metrics").get_data(as_text=True)
    assert "launchdb_disk_free_bytes{folder=" in written
    assert "launchdb_disk_reserve_bytes 5.12e+08" in written
