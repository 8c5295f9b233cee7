"""The sweep: whatever is changed by hand is found by one look and healed, or named."""

from __future__ import annotations

import shutil

import psycopg
import pytest

from catalog import audit, endings, names
from infra.instances.instances import InstanceSpec
from jobs.kinds import PauseProject, ProvisionProject
from jobs.loops.sweeper import Sweeper
from jobs.requests import lifecycle
from tests.jobs.kinds.conftest import Life


@pytest.fixture
def life(engine, infra, project):
    """An active project."""
    made = Life(engine, infra, project)
    made.provision()
    return made


@pytest.fixture
def sweeper(infra):
    return Sweeper(infra)


@pytest.fixture
def admin(server_url):
    with psycopg.connect(server_url, autocommit=True) as session:
        yield session


def reconciled(life):
    with life.infra.database.autocommit() as tx:
        ids = [row["id"] for row in tx.rows("SELECT id FROM jobs WHERE kind = 'project.reconcile' ORDER BY seq")]
    return [life.engine.job(job) for job in ids]


def everything(life):
    """What a tampering may change, as it is."""
    look = life.infra.databases.survey(life.tenant().roles, "test")
    database = {key: value for key, value in look.databases.get(life.id, {}).items() if key != "sessions"}
    database["rights"] = sorted(database.get("rights", ()))
    database["settings"] = sorted(database.get("settings") or ())
    roles = {
        name: {**row, "password": None, "bounded": bool(row["bounded"]), "memberships": sorted(row["memberships"])}
        for name, row in look.roles.items()
    }
    file = life.folder() / "data-api.conf"
    return database, roles, (file.read_text(), oct(file.stat().st_mode)) if file.exists() else None


def configuration(life):
    return life.folder() / "data-api.conf"


def change_password_as_a_tenant(life):
    tenant = life.tenant()
    with tenant.connect(tenant.roles.auth) as login:
        login.execute(f"ALTER ROLE \"{tenant.roles.auth}\" PASSWORD 'mine'")


def set_as_a_tenant(life):
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as login:
        login.execute(f'ALTER ROLE "{tenant.roles.owner}" SET statement_timeout = 0')


def set_in_one_database_as_a_tenant(life):
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as login:
        login.execute(f'ALTER ROLE "{tenant.roles.owner}" IN DATABASE "{life.id}" SET search_path = evil')


def as_admin(statement):
    def tamper(life):
        with psycopg.connect(life.infra.database.conninfo, autocommit=True) as admin:
            admin.execute(statement.replace("<id>", life.id))

    return tamper


TAMPERINGS = {
    "a login's password": (change_password_as_a_tenant, "_auth: its password was changed"),
    "the data API's password": (as_admin("ALTER ROLE \"<id>_authenticator\" PASSWORD 'x'"), "password was changed"),
    "a password for who cannot log in": (as_admin("ALTER ROLE \"<id>_anon\" PASSWORD 'x'"), "password was changed"),
    "a login's own settings": (set_as_a_tenant, "_owner: its settings were changed"),
    "a login's settings in a database": (set_in_one_database_as_a_tenant, "_owner: its settings were changed"),
    "backups that may write": (as_admin('ALTER ROLE "<id>_dump" RESET ALL'), "_dump: its settings were changed"),
    "a role that may make roles": (as_admin('ALTER ROLE "<id>_owner" CREATEROLE'), "_owner: its attributes"),
    "a superuser": (as_admin('ALTER ROLE "<id>_authenticated" SUPERUSER'), "its attributes were changed"),
    "a visitor past row security": (as_admin('ALTER ROLE "<id>_anon" BYPASSRLS'), "_anon: its attributes"),
    "a login that may not log in": (as_admin('ALTER ROLE "<id>_storage" NOLOGIN'), "_storage: its attributes"),
    "a login without slots": (as_admin('ALTER ROLE "<id>_owner" CONNECTION LIMIT 0'), "its connection limit"),
    "a login with every slot": (as_admin('ALTER ROLE "<id>_auth" CONNECTION LIMIT -1'), "its connection limit"),
    "backups with a limit": (as_admin('ALTER ROLE "<id>_dump" CONNECTION LIMIT 0'), "_dump: its attributes"),
    "backups that read less": (as_admin('REVOKE pg_read_all_data FROM "<id>_dump"'), "_dump: its memberships"),
    "an expired login": (as_admin("ALTER ROLE \"<id>_owner\" VALID UNTIL '2001-01-01'"), "its attributes"),
    "a membership taken": (as_admin('REVOKE "<id>_anon" FROM "<id>_authenticator"'), "memberships were changed"),
    "a membership given": (as_admin('GRANT pg_read_all_data TO "<id>_owner"'), "_owner: its memberships"),
    "a membership with more to it": (
        as_admin('GRANT service_role TO "<id>_service" WITH ADMIN TRUE, SET TRUE'), "_service: its memberships",
    ),
    "CONNECT for everybody": (as_admin('GRANT CONNECT ON DATABASE "<id>" TO PUBLIC'), "open to the public"),
    "TEMP for everybody": (as_admin('GRANT TEMP ON DATABASE "<id>" TO PUBLIC'), "open to the public"),
    "CONNECT for somebody": (as_admin('GRANT CONNECT ON DATABASE "<id>" TO pg_monitor'), "its rights were changed"),
    "CONNECT taken": (as_admin('REVOKE CONNECT ON DATABASE "<id>" FROM "<id>_authenticator"'), "its rights"),
    "CONNECT to pass on": (
        as_admin('GRANT CONNECT ON DATABASE "<id>" TO "<id>_owner" WITH GRANT OPTION'), "its rights were changed",
    ),
    "another connection limit": (as_admin('ALTER DATABASE "<id>" CONNECTION LIMIT -1'), "its connection limit"),
    "no connections at all": (as_admin('ALTER DATABASE "<id>" ALLOW_CONNECTIONS false'), "it admits nobody"),
    "a database to be copied": (as_admin('ALTER DATABASE "<id>" IS_TEMPLATE true'), "it admits nobody, or can be copied"),
    "a lifted limit": (as_admin('ALTER DATABASE "<id>" SET temp_file_limit = -1'), "its settings were changed"),
    "settings of a database": (as_admin('ALTER DATABASE "<id>" SET work_mem = 64'), "its settings were changed"),
    "a database's owner": (as_admin('ALTER DATABASE "<id>" OWNER TO "<id>_owner"'), "it has another owner"),
    "a removed folder": (lambda life: shutil.rmtree(life.folder()), "instance <id>: it is missing"),
    "a removed configuration": (lambda life: configuration(life).unlink(), "its configuration was changed"),
    "a changed configuration": (
        lambda life: configuration(life).write_text(configuration(life).read_text().replace("_anon", "_service")),
        "its configuration was changed",
    ),
    "a configuration for all eyes": (lambda life: configuration(life).chmod(0o644), "its configuration was changed"),
}  # fmt: skip


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampering_is_found_by_one_look_and_healed(tampering, life, sweeper):
    before = everything(life)
    tamper, word = TAMPERINGS[tampering]
    tamper(life)
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    (job,) = reconciled(life)
    assert (job.status, job.error) == ("succeeded", None)
    assert any(word.replace("<id>", life.id) in fault for fault in job.result["healed"]), job.result
    assert everything(life) == before
    assert sweeper.run_once() == 0
    tenant = life.tenant()
    for login in tenant.roles.logins:
        tenant.connect(login).close()


def test_an_owner_is_told_which_settings_of_the_login_were_taken_back(life, sweeper):
    set_as_a_tenant(life)
    set_in_one_database_as_a_tenant(life)
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    with life.infra.database.autocommit() as tx:
        (line,) = [line for line in audit.page(tx, life.id, before=None, limit=50) if line.action == "project.heal"]
    said = f"role {life.id}_owner: its settings were changed (statement_timeout, some in {life.id})"
    assert (line.outcome, line.detail) == ("healed", {"healed": [said]})


def test_a_login_that_is_kept_out_stays_so_until_its_time_is_over(life, sweeper, admin):
    owner = life.tenant().roles.owner
    before = everything(life)
    with life.infra.database.autocommit() as tx:
        endings.keep_out(tx, owner, life.id)
    admin.execute(f'ALTER ROLE "{owner}" CONNECTION LIMIT 0')
    assert sweeper.run_once() == 0
    life.ask(lifecycle.restart)
    with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
        life.tenant().connect(owner)
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE kept_out_logins SET ends_at = now()")
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    assert everything(life) == before
    with life.tenant().connect(owner) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_nothing_is_found_where_nothing_was_changed(life, sweeper):
    assert sweeper.run_once() == 0
    life.ask(lifecycle.pause)
    assert sweeper.run_once() == 0
    life.ask(lifecycle.resume)
    life.ask(lifecycle.restart)
    assert sweeper.run_once() == 0


@pytest.mark.parametrize(
    ("tampering", "word"),
    [
        (as_admin('GRANT CONNECT ON DATABASE "<id>" TO "<id>_owner"'), "its rights were changed"),
        (lambda life: life.folder().mkdir(mode=0o700), "a paused project is served"),
    ],
)
def test_a_paused_project_stays_closed(tampering, word, life, sweeper):
    life.ask(lifecycle.pause)
    before = everything(life)
    tampering(life)
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    (job,) = reconciled(life)
    assert job.status == "succeeded"
    assert any(word in fault for fault in job.result["healed"])
    assert (everything(life), life.folder().exists()) == (before, False)
    with pytest.raises(psycopg.OperationalError):
        life.tenant().connect(life.tenant().roles.owner)


def test_a_changed_pool_size_reaches_the_data_api(life, sweeper):
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET pool_size = 9 WHERE id = %s", (life.id,))
    sweeper.run_once()
    life.engine.runner.drain()
    assert "db-pool = 9" in configuration(life).read_text()


def test_what_an_owner_decided_inside_the_database_is_not_touched(life, sweeper):
    tenant = life.tenant()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM anon")
    TAMPERINGS["another connection limit"][0](life)
    sweeper.run_once()
    life.engine.runner.drain()
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE hidden ()")
        assert owner.execute("SELECT has_table_privilege('anon', 'hidden', 'SELECT')").fetchone() == (False,)


def test_a_database_that_is_gone_is_named_and_none_is_made_in_its_place(life, sweeper, admin):
    admin.execute(f'DROP DATABASE "{life.id}" WITH (FORCE)')
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    (job,) = reconciled(life)
    assert job.status == "failed"
    assert life.row()["status_reason"] == (
        "not as it should be: the project's database is gone; restore it from a backup"
    )
    assert admin.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (life.id,)).fetchone() == (0,)
    assert sweeper.run_once() == 0, "the same is not tried again at once"


def test_a_complaint_is_taken_back_when_all_is_right_again(life, sweeper):
    with life.infra.database.autocommit() as tx:
        tx.execute("UPDATE projects SET status_reason = 'not as it should be: x' WHERE id = %s", (life.id,))
    assert sweeper.run_once() == 1
    life.engine.runner.drain()
    assert (life.row()["status"], life.row()["status_reason"]) == ("active", None)


def test_a_role_that_no_longer_bears_our_label_is_named_and_not_touched(life, sweeper, admin):
    admin.execute(f'COMMENT ON ROLE "{life.id}_anon" IS NULL')
    sweeper.run_once()
    life.engine.runner.drain()
    assert "is not ours" in life.row()["status_reason"]
    admin.execute(f"COMMENT ON ROLE \"{life.id}_anon\" IS 'launchdb:{life.id}'")


def strays(infra):
    with infra.database.autocommit() as tx:
        rows = tx.rows("SELECT project_id, detail FROM audit WHERE action = 'drift.stray' AND actor = 'system'")
        return {(row["project_id"], row["detail"]["kind"], row["detail"]["name"]) for row in rows}


def test_things_of_ours_that_belong_to_no_project_are_named_once_and_stay(infra, tenant, sweeper):
    infra.instances.ensure(
        InstanceSpec(tenant.id, tenant.id, "postgresql://x", "s" * 32, f"{tenant.id}_anon", pool_size=1, max_rows=1)
    )
    sweeper.run_once()
    sweeper.run_once()
    assert {thing for thing in strays(infra) if thing[0] == tenant.id} == {
        (tenant.id, "database", tenant.id),
        (tenant.id, "instance", tenant.id),
        *((tenant.id, "role", role) for role in names.roles(tenant.id).all),
    }
    with infra.database.autocommit() as tx:
        named = tx.value("SELECT count(*) FROM audit WHERE project_id = %s", (tenant.id,))
    assert named == 10
    tenant.connect(tenant.roles.owner).close()
    assert infra.instances.exists(tenant.id)


def test_a_project_that_a_job_is_changing_is_left_to_it(life, sweeper):
    TAMPERINGS["CONNECT for everybody"][0](life)
    life.engine.enqueue(PauseProject(life.id))
    assert sweeper.run_once() == 0
    assert reconciled(life) == []


def test_nothing_is_expected_of_a_project_that_is_not_there_yet(engine, infra, project, sweeper):
    engine.enqueue(ProvisionProject(project))
    assert sweeper.run_once() == 0
    assert not {thing for thing in strays(infra) if thing[0] == project}
