"""What Storage is told of a project: a file that every job keeps as the catalogue has it, and that goes with the project."""

from __future__ import annotations

import stat

import pytest
from psycopg import sql

from app.served.projects import ServedProjects
from app.storage.serve.project import Asked, StorageProject
from catalog import names, settings
from catalog.settings_model import SettingsChanges
from infra.instances.storage_files import StorageSpec
from infra.secrets import tokens
from jobs.kinds import ConfigureProject
from jobs.kinds.project.rotate_secret import RotateSecret
from jobs.loops.sweeper import Sweeper
from jobs.projects import data_plane, project_secrets
from jobs.requests import lifecycle


@pytest.fixture
def active(life):
    """A provisioned project."""
    life.provision()
    return life


@pytest.fixture
def served(infra):
    """What one process of Storage has of the projects."""
    made = ServedProjects(infra.storage, "storage", StorageProject.of, connections_max=8)
    yield made
    made.close()


def told(life) -> StorageSpec:
    return StorageSpec.from_json(life.infra.storage.path(life.id).read_text())


def change(life, **changes) -> None:
    with life.infra.database.transaction() as tx:
        kept = settings.read(tx, life.id)
        wanted = SettingsChanges.model_validate(changes)
        assert settings.change(tx, life.infra, kept, wanted, bounded=True, world=True).outside, "a job brings it"
    job = life.engine.enqueue(ConfigureProject(life.id))
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "succeeded"


def rotate(life, *args) -> None:
    job = life.engine.enqueue(RotateSecret(life.id, *args))
    life.engine.runner.drain()
    assert life.engine.job(job.id).status == "succeeded"


def test_a_project_that_is_provisioned_has_all_that_storage_needs_for_its_eyes_only(active):
    spec, roles = told(active), names.roles(active.id)
    assert spec.db_uri == active.tenant().uri(roles.storage)
    assert tokens.verification_keys(spec.jwt_secret)
    assert active.secrets()[names.JWT_SECRET] not in spec.url_keys
    assert spec.url == f"{active.infra.settings.base_url}/project/{active.id}"
    assert spec.roles == {"anon": roles.anon, "authenticated": roles.authenticated, "service_role": roles.service}
    file = active.infra.storage.path(active.id)
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)


@pytest.mark.parametrize(
    ("leaves", "comes_back"), [(lifecycle.pause, lifecycle.resume), (None, lifecycle.restart)], ids=["pause", "restart"]
)
def test_storage_lets_go_of_a_project_that_is_closed_and_has_it_again_afterwards(active, leaves, comes_back):
    before = told(active)
    if leaves is not None:
        active.ask(leaves)
        assert not active.infra.storage.exists(active.id)
    assert active.ask(comes_back).status == "succeeded"
    assert told(active) == before


def test_what_is_set_of_files_is_there_after_one_job(active):
    change(active, fileBytes=4096, storageQuotaMb=7)
    found = told(active).settings
    assert (found["fileBytes"], found["storageQuotaMb"]) == (4096, 7)


def test_a_setting_that_does_not_concern_storage_leaves_its_file_alone(active):
    before = active.infra.storage.path(active.id).stat().st_ino
    change(active, maxRows=7)
    assert active.infra.storage.path(active.id).stat().st_ino == before


def test_a_new_password_is_known_to_storage_before_the_login_takes_it(active, served, monkeypatch):
    seen, asked = [], Asked("storage.test")

    def exchange(run, passwords):
        with served.find(active.id).transaction(asked) as tx:  # by the one before, which is the login's still
            seen.append(tx.value(sql.SQL("SELECT 1")))
        data_plane.set_passwords(run, passwords)
        served.find(active.id).pool.trim(float("inf"))
        with served.find(active.id).transaction(asked) as tx:
            seen.append(tx.value(sql.SQL("SELECT 2")))

    before = told(active)
    monkeypatch.setattr(data_plane, "exchange_passwords", exchange)
    rotate(active, project_secrets.DATABASE_PASSWORD)
    after = told(active)
    assert seen == [1, 2]
    assert after.db_uri != before.db_uri
    assert after.db_uri_before == ""


def test_signed_urls_are_good_as_long_as_the_secret_that_they_were_made_of(active):
    before = told(active)
    rotate(active, project_secrets.JWT_SECRET, 3600)
    after = told(active)
    assert after.url_keys[0] != before.url_keys[0]
    assert before.url_keys[0] in after.url_keys[1:]


@pytest.mark.parametrize("tamper", ["missing", "changed", "readable"])
def test_the_sweep_finds_what_was_done_to_the_file_and_has_it_mended(active, tamper):
    before, file = told(active), active.infra.storage.path(active.id)
    {"missing": file.unlink, "changed": lambda: file.write_text("{}"), "readable": lambda: file.chmod(0o644)}[tamper]()
    assert Sweeper(active.infra).run_once() == 1
    active.engine.runner.drain()
    assert told(active) == before
    assert Sweeper(active.infra).run_once() == 0


def test_a_file_of_nobodys_is_named_and_one_of_a_paused_project_is_removed(active):
    text, nobody = active.infra.storage.path(active.id).read_text(), "proj_" + "0" * 16
    active.ask(lifecycle.pause)
    for project in (active.id, nobody):
        active.infra.storage.path(project).write_text(text)
    assert Sweeper(active.infra).run_once() == 1
    active.engine.runner.drain()
    assert active.infra.storage.list() == [nobody]
    with active.infra.database.autocommit() as tx:
        named = tx.rows("SELECT detail FROM audit WHERE action = 'drift.stray'")
    assert [row["detail"] for row in named] == [{"kind": "storage", "name": nobody}]
