"""The platform of the version before its migrations became a baseline: it goes on, and its backups come back."""

from __future__ import annotations

import shutil

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from catalog import audit_chain, names
from catalog import secrets as kept
from catalog.ids import new_id
from infra.postgres import migrations
from jobs.engine import commands, view
from jobs.engine.runner import Runner
from jobs.engine.table import find
from jobs.requests import platform_restore
from tests.fixtures.before import FOLDER
from tests.jobs.trial_kinds import WORLD, Build, Keep

SHOP = "SELECT id, name, status FROM projects WHERE name = 'shop'"


@pytest.fixture
def platform_url(request):
    """The platform of this test: as the version before left it, the same taken over, or a new one."""
    how = getattr(request, "param", "taken over")
    url = request.getfixturevalue("empty_url" if how == "new" else "platform_of_before")
    if how != "as it was left":
        with psycopg.connect(url, autocommit=True) as connection:
            assert migrations.apply_migrations(connection, "platform")
    return url


@pytest.fixture
def keys(settings):
    """The keys of the installation that was backed up."""
    settings.secrets_folder.mkdir(mode=0o700, parents=True)
    for name in ("LAUNCHDB_MASTER_KEY", "BACKUP_ENCRYPTION_KEY"):
        shutil.copy(FOLDER / name, settings.secrets_folder / name)


def ask(infra, statement, values=None):
    with infra.database.autocommit() as tx:
        return tx.rows(statement, values) if statement.startswith("SELECT") else tx.execute(statement, values)


def serves(engine, *kinds):
    return Runner(engine.infra, engine.leases, worker=engine.name, queues=["control", "bulk"], serves=list(kinds))


def test_jobs_run_on_a_platform_that_was_taken_over(engine, infra):
    (shop,) = ask(infra, SHOP)
    built, kept_ = engine.enqueue(Build("a")), engine.enqueue(Keep("b", project_id=shop["id"]))
    assert serves(engine, "trial.build@1", "trial.keep@1").drain() == 1
    assert (engine.job(built.id).status, engine.job(kept_.id).status) == ("succeeded", "queued")
    (waiting,) = ask(infra, "SELECT id FROM jobs WHERE kind = 'project.pause'")
    with infra.database.transaction() as tx:
        # The one that was accepted before the update goes first.
        assert view.show_job(tx, kept_.id)["waitingFor"]["jobId"] == waiting["id"]
        commands.cancel(tx, waiting["id"], by="operator")
    assert serves(engine, "trial.keep@1").drain() == 1
    assert engine.job(kept_.id).status == "succeeded"


def test_what_the_version_before_wrote_is_read_and_gone_on_with(infra, keys):
    (shop,) = ask(infra, SHOP)
    with infra.database.transaction() as tx:
        infra.vault.check_master_key(tx)
        assert names.JWT_SECRET in kept.read_all(tx, infra.vault, shop["id"])
        (job,) = tx.rows("SELECT id FROM jobs WHERE kind = 'project.provision'")
        assert {step["status"] for step in view.show_job(tx, job["id"])["steps"]} == {"succeeded"}
        assert audit_chain.verify(tx) == []
        assert audit_chain.seal(tx, 1000, most=1000) == 1
        assert audit_chain.verify(tx) == []


@pytest.mark.gpg
@pytest.mark.parametrize("platform_url", ["new", "taken over", "as it was left"], indirect=True)
def test_a_backup_that_the_version_before_made_comes_back(infra, settings, keys, request, platform_url):
    settings.backups_folder.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("platform_*"):
        shutil.copy(path, settings.backups_folder / path.name)
    newer = new_id("own")
    with infra.database.autocommit() as tx:
        values = (newer, "newer@example.org", "$argon2id$new")
        tx.execute("INSERT INTO owners (id, email, password_hash) VALUES (%s, %s, %s)", values)
    told = []
    try:
        platform_restore.restore_platform(infra, platform_restore.newest(infra), told.append)
        assert not [line for line in told if "NOT carried over" in line], "it is the same schema"
        assert {row["id"] for row in ask(infra, "SELECT id FROM owners")} > {newer}
        (shop,) = ask(infra, SHOP)
        with infra.database.transaction() as tx:
            assert kept.read_all(tx, infra.vault, shop["id"])
            assert audit_chain.verify(tx) == []
        with psycopg.connect(platform_url, autocommit=True) as connection:
            assert migrations.apply_migrations(connection, "platform") == [], "it has been brought on"
        engine = request.getfixturevalue("engine")
        ask(infra, WORLD)
        job = engine.enqueue(Build("c"))
        engine.runner.drain()
        with infra.database.autocommit() as tx:
            assert find(tx, job.id).status == "succeeded"
    finally:
        live = conninfo_to_dict(platform_url)["dbname"]
        with infra.databases.cluster.session("test") as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{live}_before" WITH (FORCE)')
