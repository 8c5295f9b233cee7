"""The platform's own database is lost, and everything else with it: what is left are the backups and the keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from catalog import backups, inventory, names, projects
from catalog.ids import new_id
from infra.errors import Refused
from infra.postgres.role_names import ProjectRoles
from jobs.engine.table import find
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.backup_fleet import BackupFleet
from jobs.kinds.backup.backup_platform import BackupPlatform
from jobs.kinds.project.delete import DeleteProject
from jobs.kinds.project.pause import PauseProject
from jobs.kinds.project.provision import ProvisionProject
from jobs.requests import platform_restore
from tests.fixtures.beats import beating
from tests.fixtures.projects import add_project, drop, mark_for_deletion, stored_tenant
from tests.fixtures.stored_files import StoredFiles

pytestmark = pytest.mark.gpg

TOLD = []
FILES = {"a.txt": b"one", "b.txt": b"two" * 1000}


@pytest.fixture
def shops(engine, infra, settings, master_key):
    """Two projects with rows, all backed up in one night, and a third that came later."""
    made = [add_project(infra) for _ in range(2)]
    with beating(engine.leases):  # whatever the machine needs; not later, when the tables are gone that it writes to
        for project in made:
            engine.enqueue(ProvisionProject(project))
        engine.runner.drain()
        for project in made:
            sql(infra, project, "CREATE TABLE notes AS SELECT n FROM generate_series(1, 100) n")
        StoredFiles(infra, made[0]).put(**FILES)
        engine.enqueue(BackupFleet())
        engine.runner.drain()
    made.append(add_project(infra))
    engine.enqueue(ProvisionProject(made[-1]))
    engine.runner.drain()
    yield made
    live = conninfo_to_dict(settings.database_url)["dbname"]
    with infra.databases.cluster.session("test") as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{live}_before" WITH (FORCE)')
    for project in made:
        drop(infra, project)


def sql(infra, project, statement):
    tenant = stored_tenant(infra, project)
    with tenant.connect(tenant.roles.owner) as owner:
        found = owner.execute(statement)
        return found.fetchone() if found.description else None


def lose(infra, project):
    infra.databases.drop_database(project, ProjectRoles(project), "test")
    infra.databases.drop_roles(ProjectRoles(project), "test")
    infra.instances.remove(project)


def wipe(infra):
    """All rows of the platform are gone."""
    with infra.database.autocommit() as tx:
        tx.execute("TRUNCATE projects, owners, secrets, data_keys, jobs, backups CASCADE")


def test_everything_comes_back_from_the_backups_and_the_keys(shops, engine, infra):
    first, second, later = shops
    known = stored_tenant(infra, first).passwords
    for project in (first, second):
        lose(infra, project)
    wipe(infra)
    shutil.rmtree(infra.settings.files_folder)
    kept = platform_restore.restore_platform(infra, platform_restore.newest(infra), TOLD.append)
    assert kept.endswith("_before")
    done = platform_restore.adopt_unknown(infra, TOLD.append)
    # The platform is backed up first: that night's backups of the projects are not in its own.
    assert done["backups"] >= 2
    assert (set(done["restored"]), done["lost"]) == ({first, second}, [])
    engine.runner.drain()
    with infra.database.autocommit() as tx:
        assert {find(tx, job).status for job in done["restored"].values()} == {"succeeded"}
        states = {row["id"]: row["status"] for row in tx.rows("SELECT id, status FROM projects")}
    assert states == {first: "active", second: "active"}, "the one that came later is not in the backup"
    assert sql(infra, first, "SELECT count(*) FROM notes") == (100,)
    assert stored_tenant(infra, first).passwords == known, "its own secrets came back with the platform"
    files = StoredFiles(infra, first)
    assert (files.contents(), files.is_whole()) == (FILES, True)
    assert (infra.settings.instances_folder / second).exists()
    assert platform_restore.adopt_unknown(infra, TOLD.append) == {
        "backups": 0,
        "carried": [],
        "restored": {},
        "lost": [],
    }
    assert later not in states


def test_what_was_under_way_is_not_gone_on_with(shops, engine, infra):
    waiting = engine.enqueue(PauseProject(shops[0]))
    job = engine.enqueue(BackupFleet())
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now() + interval '1 day', claim_after = now() + interval '1 day' WHERE id = %s",
                   (waiting.id,))  # fmt: skip
    engine.runner.drain()
    assert job.id
    platform_restore.restore_platform(infra, platform_restore.newest(infra), TOLD.append)
    with infra.database.autocommit() as tx:
        assert find(tx, waiting.id).status == "cancelled"
        assert tx.value("SELECT count(*) FROM jobs WHERE status IN ('queued', 'running', 'retrying')") == 0
    engine.runner.drain()
    sql(infra, shops[0], "SELECT 1")


def test_a_project_that_was_being_deleted_then_has_failed_and_leaves_its_name_to_who_took_it(shops, engine, infra):
    gone = shops[1]
    with infra.database.transaction() as tx:
        tx.execute("UPDATE projects SET name = 'shop' WHERE id = %s", (gone,))
        mark_for_deletion(tx, gone)
        namesake = projects.create(tx, projects.owner_of(tx, gone), name="shop", pool_size=5, quota=0).id
    engine.enqueue(BackupPlatform())
    engine.runner.drain()
    platform_restore.restore_platform(infra, platform_restore.newest(infra), TOLD.append)
    with infra.database.autocommit() as tx:
        found = {row["id"]: row for row in tx.rows("SELECT id, name, status, status_reason FROM projects")}
    assert {project: (found[project]["name"], found[project]["status"]) for project in (gone, namesake)} == {
        gone: (gone, "failed"),
        namesake: ("shop", "failed"),
    }
    assert found[gone]["status_reason"].startswith("it was deleting when the platform was backed up")


def test_a_project_without_a_backup_is_named_as_lost(shops, engine, infra):
    lose(infra, shops[2])
    assert platform_restore.adopt_unknown(infra, TOLD.append)["lost"] == [shops[2]]
    with infra.database.autocommit() as tx:
        row = tx.row("SELECT status, status_reason FROM projects WHERE id = %s", (shops[2],))
    assert row == {"status": "failed", "status_reason": "its database is gone, and there is no backup of it"}


def test_a_damaged_backup_of_the_platform_changes_nothing(shops, infra):
    stem = platform_restore.newest(infra)
    path = infra.settings.backups_folder / f"{stem}.sql.gz.gpg"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Refused, match="bytes instead of"):
        platform_restore.restore_platform(infra, stem, TOLD.append)
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM projects") == 3
        found = tx.rows(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{tx.value('SELECT current_database()')}_%",)
        )
    assert found == []


def test_a_projects_backup_is_none_of_the_platform(shops, engine, infra):
    job = engine.enqueue(BackupProject(shops[0]))
    engine.runner.drain()
    with infra.database.autocommit() as tx:
        stem = backups.of_job(tx, job.id).stem
    with pytest.raises(Refused, match="is no backup of the platform"):
        platform_restore.restore_platform(infra, stem, TOLD.append)
    assert names.database(shops[0]) == shops[0]
    with psycopg.connect(infra.database.conninfo) as admin:
        assert admin.execute("SELECT count(*) FROM projects").fetchone() == (3,)


def test_a_project_and_an_owner_that_are_newer_than_the_backup_go_on(shops, engine, infra):
    """They are in no backup of the platform, and their databases serve: nothing becomes an orphan."""
    first, _second, later = shops
    known, newer = stored_tenant(infra, later).passwords, new_id("own")
    with infra.database.transaction() as tx:
        # Whose account is made anew in a new home has another id there, and the password that is known there.
        tx.execute(
            "UPDATE owners SET password_hash = '$argon2id$now' WHERE id = (SELECT owner_id FROM projects WHERE id = %s)",
            (first,),
        )
        tx.execute(
            "INSERT INTO owners (id, email, password_hash) SELECT %s, 'x' || email, '$argon2id$new' FROM owners LIMIT 1",
            (newer,),
        )
    platform_restore.restore_platform(infra, platform_restore.newest(infra), TOLD.append)
    with infra.database.autocommit() as tx:
        row = tx.row("SELECT status, owner_id FROM projects WHERE id = %s", (later,))
        assert row["status"] == "active"
        assert tx.value("SELECT count(*) FROM owners WHERE id = ANY (%s)", ([row["owner_id"], newer],)) == 2
        stored = tx.value(
            "SELECT password_hash FROM owners o JOIN projects p ON p.owner_id = o.id WHERE p.id = %s", (first,)
        )
    assert stored == "$argon2id$now"
    assert stored_tenant(infra, later).passwords == known
    assert platform_restore.adopt_unknown(infra, TOLD.append)["carried"] == [], "twice is once"
    with infra.database.transaction() as tx:
        assert {thing.verdict for thing in inventory.take_inventory(tx, infra) if thing.project_id in shops} == {
            "owned"
        }
    engine.enqueue(DeleteProject(later, purge=True))
    engine.runner.drain()
    with infra.database.transaction() as tx:
        assert inventory.of_project(inventory.take_inventory(tx, infra), later) == []


def test_a_restore_that_was_killed_while_it_swapped_carries_over_when_it_is_run_again(shops, infra):
    with infra.databases.cluster.session("test") as admin:
        admin.execute(f'ALTER DATABASE "{live(infra)}" ALLOW_CONNECTIONS false')
    platform_restore.restore_platform(infra, platform_restore.newest(infra), TOLD.append)
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT status FROM projects WHERE id = %s", (shops[2],)) == "active"


def test_a_damaged_platform_is_restored_and_what_is_given_up_is_said(shops, infra):
    """Whatever keeps it from being read is no reason not to restore it, and is told."""
    stem, wrong = platform_restore.newest(infra), []
    for what, damage in DAMAGES.items():
        told = []
        damage(infra)
        platform_restore.restore_platform(infra, stem, told.append)
        with infra.database.autocommit() as tx:
            known = {row["id"] for row in tx.rows("SELECT id FROM projects")}
        if known != set(shops[:2]) or not any("NOT carried over" in line for line in told):
            wrong.append((what, known, told))
        # Also afterwards, it keeps nothing else away.
        assert platform_restore.adopt_unknown(infra, told.append)["carried"] == []
    assert wrong == []


def damaged_by(statement):
    def damage(infra):
        with infra.databases.cluster.open_in_database(live(infra), "test") as admin:
            admin.execute("SET allow_system_table_mods = on")
            admin.execute(statement)

    return damage


def lets_nobody_in(infra):
    with infra.databases.cluster.open_in_database(live(infra), "test") as admin:
        (folder,) = admin.execute(
            "SELECT concat(current_setting('data_directory'), '/base/', oid) FROM pg_database WHERE datname = %s",
            (live(infra),),
        ).fetchone()
    (Path(folder) / "PG_VERSION").unlink()


DAMAGES = {
    "a table is gone": damaged_by("DROP TABLE public.owners CASCADE"),
    "no table is there": damaged_by("DROP SCHEMA public CASCADE"),
    "a file is gone": damaged_by("UPDATE pg_class SET relfilenode = 4294967 WHERE oid = 'public.projects'::regclass"),
    "another schema": damaged_by(
        "ALTER TABLE public.owners DROP password_hash; UPDATE public.schema_migrations SET version = '9' || version"
        " WHERE version = (SELECT max(version) FROM public.schema_migrations)"
    ),
    "half dropped": damaged_by("UPDATE pg_database SET datconnlimit = -2 WHERE datname = current_database()"),
    "its folder is damaged": lets_nobody_in,
}


def test_a_project_that_only_the_platform_of_before_knows_is_adopted(shops, infra):
    """As after a restore that was killed before it could, or by a version that did not; its name may be taken."""
    first, _second, later = shops
    platform_restore.restore_platform(infra, platform_restore.newest(infra), TOLD.append)
    with infra.database.transaction() as tx:
        tx.execute("DELETE FROM projects WHERE id = %s", (later,))
        tx.execute("DELETE FROM data_keys WHERE scope = %s", (later,))
        tx.execute("DELETE FROM resources WHERE project_id = %s", (later,))
        owner = tx.value("SELECT owner_id FROM projects WHERE id = %s", (first,))
    with psycopg.connect(before(infra)) as kept:
        kept.execute("UPDATE projects SET name = 'another' WHERE id = %s", (first,))
        kept.execute(
            "UPDATE projects SET owner_id = %s, name = %s, status = 'restoring' WHERE id = %s", (owner, first, later)
        )
    assert platform_restore.adopt_unknown(infra, TOLD.append)["carried"] == [later]
    with infra.database.autocommit() as tx:
        row = tx.row("SELECT name, status, status_reason FROM projects WHERE id = %s", (later,))
    assert (row["name"], row["status"]) == (f"{first}-{later[5:9]}", "failed")
    assert row["status_reason"].startswith("it was restoring when the platform was restored")
    assert stored_tenant(infra, later).passwords


def before(infra):
    return make_conninfo(infra.database.conninfo, dbname=f"{live(infra)}_before")


def live(infra):
    return conninfo_to_dict(infra.database.conninfo)["dbname"]
