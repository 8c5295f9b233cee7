"""project.migrate: a project made by an older program becomes equal to one that the newer program makes."""

from __future__ import annotations

import psycopg
import pytest

from infra.postgres.upgrades import TemplateUpgrades
from jobs.kinds import MigrateProject, ProvisionProject
from jobs.requests import lifecycle
from tests.fixtures.anatomy import anatomy
from tests.fixtures.projects import add_project, drop, stored_tenant
from tests.fixtures.successor import NEXT, TEXT, opened, write_folder
from tests.jobs.conftest import Engine


@pytest.fixture
def next_engine(newer):
    """A worker of the newer program."""
    made = Engine(newer)
    yield made
    made.close()


def migrated(engine, project):
    job = engine.enqueue(MigrateProject(project))
    engine.runner.drain()
    return engine.job(job.id)


def template_of(life):
    return life.row()["template"]


def test_a_migrated_project_is_made_of_the_same_as_a_fresh_one(life, newer, next_engine):
    life.provision()
    job = migrated(next_engine, life.id)
    assert (job.status, job.error) == ("succeeded", None)
    assert job.result["applied"] == [NEXT]
    fresh = add_project(newer)
    next_engine.enqueue(ProvisionProject(fresh))
    next_engine.runner.drain()
    try:
        assert anatomy(life.tenant()) == anatomy(stored_tenant(newer, fresh))
        assert template_of(life) == newer.databases.templates.name
    finally:
        drop(newer, fresh)


def test_a_project_made_before_the_last_migration_becomes_equal_to_a_fresh_one(settings, infra, engine, life, tmp_path):
    """With the files that the program really has."""
    folder = write_folder(tmp_path / "before", "")
    (folder / f"{NEXT}.sql").unlink()
    last = max(folder.glob("*.sql"))
    last.unlink()
    life.provision()
    with opened(settings, folder) as older:
        project, made = add_project(older), Engine(older)
        try:
            made.enqueue(ProvisionProject(project))
            made.runner.drain()
            job = migrated(engine, project)
            assert (job.status, job.result["applied"]) == ("succeeded", [last.stem])
            assert anatomy(stored_tenant(infra, project)) == anatomy(life.tenant())
        finally:
            made.close()
            drop(infra, project)


def test_what_the_owner_made_stays_and_works_on(life, next_engine):
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE notes (body text)")
        owner.execute("INSERT INTO notes VALUES ('kept')")
    assert migrated(next_engine, life.id).status == "succeeded"
    with tenant.connect(tenant.roles.owner) as owner:
        assert owner.execute("SELECT body FROM notes").fetchall() == [("kept",)]
        owner.execute("CREATE TABLE more (id int)")
        assert owner.execute("SELECT nickname FROM auth.users").fetchall() == []


def test_migrating_twice_changes_nothing_the_second_time(life, next_engine):
    life.provision()
    migrated(next_engine, life.id)
    before = anatomy(life.tenant())
    job = migrated(next_engine, life.id)
    assert (job.status, job.result["applied"]) == ("succeeded", [])
    assert anatomy(life.tenant()) == before


def test_the_data_api_hears_that_the_schema_is_another(life, next_engine):
    life.provision()
    with life.tenant().as_admin() as admin:
        before = admin.execute("SELECT launchdb.schema_stamp()").fetchone()
        migrated(next_engine, life.id)
        assert admin.execute("SELECT launchdb.schema_stamp()").fetchone() > before


def test_a_paused_project_is_migrated_and_stays_paused(life, next_engine):
    life.provision()
    life.ask(lifecycle.pause)
    assert migrated(next_engine, life.id).result["applied"] == [NEXT]
    assert life.row()["status"] == "paused"
    with pytest.raises(psycopg.OperationalError):
        life.tenant().connect(life.tenant().roles.owner)


def test_an_edited_file_is_named_and_refused(life, settings, tmp_path):
    life.provision()
    folder = write_folder(tmp_path / "edited")
    (folder / "002_storage.sql").write_text((folder / "002_storage.sql").read_text() + "-- better\n")
    with opened(settings, folder) as world:
        engine = Engine(world)
        job = migrated(engine, life.id)
        engine.close()
    assert job.status == "failed"
    assert "002_storage" in job.error["detail"]
    assert "edited" in job.error["detail"]
    assert template_of(life) == life.infra.databases.templates.name


def test_a_file_that_does_not_apply_leaves_nothing_and_is_named(life, next_engine):
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE public.welcome (mine int)")
    before = anatomy(tenant)
    job = migrated(next_engine, life.id)
    assert job.status == "failed"
    assert NEXT in job.error["detail"]
    assert "42P07" in job.error["detail"]
    assert anatomy(tenant) == before
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("DROP TABLE public.welcome")
    from jobs.engine.commands import retry

    with life.infra.database.transaction() as tx:
        retry(tx, job.id)
    next_engine.runner.drain()
    assert next_engine.job(job.id).status == "succeeded"


def test_a_database_that_is_ahead_is_left_alone_and_keeps_its_template(life, engine, newer, next_engine):
    life.provision()
    migrated(next_engine, life.id)
    job = migrated(engine, life.id)
    assert (job.status, job.result["applied"], job.result["ahead"]) == ("succeeded", [], [NEXT])
    assert template_of(life) == newer.databases.templates.name


def test_a_lock_of_the_tenants_own_does_not_hold_it_up(life, next_engine):
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner, owner.transaction():
        owner.execute("SELECT pg_advisory_lock(19524, 0)")
        owner.execute("SELECT * FROM launchdb.schema_migrations")
        assert migrated(next_engine, life.id).status == "succeeded"


def test_looking_changes_nothing(life, newer):
    life.provision()
    upgrades = TemplateUpgrades(newer.databases.cluster, newer.databases.templates.folder)
    standing = upgrades.status(life.id, "test")
    assert (standing.missing, standing.edited, standing.ahead) == ((NEXT,), (), ())
    assert upgrades.status(life.id, "test") == standing


def test_no_code_of_the_tenants_runs_with_our_rights(life, settings, tmp_path):
    """Indexes of the owner's over auth.users are built anew by a migration: as whom, it notes."""
    life.provision()
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE public.caught (who text)")
        owner.execute(
            "CREATE FUNCTION public.spy(e text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
            " IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RAISE EXCEPTION 'mighty'; END IF;"
            " RETURN e; END $$"
        )
        owner.execute("CREATE INDEX spied ON auth.users (public.spy(aud))")
        owner.execute("INSERT INTO auth.users (aud) VALUES ('x')")
    text = TEXT + "SET LOCAL ROLE launchdb_tpl_auth; ALTER TABLE auth.users ALTER COLUMN aud TYPE text; RESET ROLE;"
    with opened(settings, write_folder(tmp_path / "rewriting", text)) as world:
        engine = Engine(world)
        job = migrated(engine, life.id)
        engine.close()
    assert (job.status, job.error) == ("succeeded", None)
