"""The template: built once by whoever comes first, closed to everybody, owned by nobody who is re-assigned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from infra.postgres import migrations
from infra.postgres.template import Templates
from tests.fixtures.halfway import half_drop


@pytest.fixture
def fresh(infra, tmp_path, monkeypatch):
    """Templates of a version that no other test uses."""
    infra.databases.ensure_shared_roles("test")
    infra.databases.templates.ensure("test")  # which also settles its name, before the migrations change
    folder = tmp_path / "migrations" / "project"
    folder.mkdir(parents=True)
    for file in (migrations.MIGRATIONS / "project").glob("*.sql"):
        (folder / file.name).write_text(file.read_text())
    (folder / "999_trial.sql").write_text(f"CREATE TABLE public.trial_{tmp_path.name.replace('-', '_')} ();")
    monkeypatch.setattr(migrations, "MIGRATIONS", tmp_path / "migrations")
    templates = Templates(infra.databases.cluster)
    yield templates
    monkeypatch.undo()
    with infra.databases.cluster.session("test") as admin:
        for name in (templates.name, f"{templates.name}_new"):
            if admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None:
                admin.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def row(infra, name):
    with infra.databases.cluster.session("test") as admin:
        return admin.execute(
            "SELECT oid, datistemplate, datallowconn, pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s",
            (name,),
        ).fetchone()


def test_eight_starters_build_one_template(infra, fresh):
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _n: fresh.ensure("test"), range(8)))
    assert names == {fresh.name}
    oid, *rest = row(infra, fresh.name)
    assert rest == [True, False, "launchdb_platform"]
    assert row(infra, f"{fresh.name}_new") is None
    fresh.ensure("test")
    assert row(infra, fresh.name)[0] == oid


def test_eight_starters_prepare_the_cluster_together(infra):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _n: infra.databases.prepare("test"), range(8)))
    platform = psycopg.conninfo.conninfo_to_dict(infra.database.conninfo)["dbname"]
    with infra.databases.cluster.session("test") as admin:
        closed = admin.execute("SELECT NOT has_database_privilege('public', %s, 'CONNECT')", (platform,)).fetchone()
    assert closed == (True,)
    assert row(infra, infra.databases.templates.name)[1:3] == (True, False)


def test_a_template_half_built_by_a_killed_starter_is_built_anew(infra, fresh):
    with infra.databases.cluster.session("test") as admin:
        admin.execute(f"CREATE DATABASE {fresh.name}_new IS_TEMPLATE true")
    fresh.ensure("test")
    assert row(infra, fresh.name)[1:3] == (True, False)
    assert row(infra, f"{fresh.name}_new") is None


def test_nobody_connects_to_a_template_not_even_the_administrator(infra, fresh):
    fresh.ensure("test")
    with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
        psycopg.connect(infra.database.conninfo, dbname=fresh.name).close()


def test_templates_that_no_version_serves_are_dropped_and_the_served_stay(infra, fresh):
    current = infra.databases.templates.name
    fresh.ensure("test")
    with infra.databases.cluster.session("test") as admin:
        others = [name for (name,) in admin.execute("SELECT datname FROM pg_database WHERE datistemplate").fetchall()]
    assert infra.databases.templates.prune(others, "test") == []
    assert infra.databases.templates.prune([name for name in others if name != fresh.name], "test") == [fresh.name]
    assert row(infra, current) is not None


def test_a_template_that_vanished_is_built_again_by_the_next_project(infra, tenant):
    name = infra.databases.templates.name
    with infra.databases.cluster.session("test") as admin:
        admin.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    infra.databases.drop_database(tenant.id, tenant.roles, "test")
    infra.databases.ensure_database(tenant.id, tenant.roles, "test")
    assert row(infra, name)[1:3] == (True, False)


def test_nothing_in_a_copy_belongs_to_the_template_any_more(infra, tenant):
    with tenant.as_admin() as admin:
        owners = dict(
            admin.execute(
                "SELECT n.nspname, pg_get_userbyid(n.nspowner) FROM pg_namespace n"
                " WHERE nspname IN ('public', 'auth', 'storage', 'extensions', 'launchdb')"
            ).fetchall()
        )
        left = admin.execute(
            "SELECT count(*) FROM pg_shdepend WHERE dbid = (SELECT oid FROM pg_database WHERE datname = %s)"
            " AND refobjid IN (SELECT oid FROM pg_roles WHERE rolname LIKE 'launchdb_tpl%%')",
            (tenant.id,),
        ).fetchone()
        versions = admin.execute("SELECT version FROM launchdb.schema_migrations ORDER BY 1").fetchall()
    assert owners["public"] == owners["extensions"] == tenant.roles.owner
    assert (owners["auth"], owners["storage"]) == (tenant.roles.auth, tenant.roles.storage)
    assert owners["launchdb"] == "postgres"
    assert left == (0,)
    wanted = [
        "001_auth", "002_storage", "003_public", "004_refreshes", "005_role_settings", "006_login_of_requests",
        "007_shared_resources", "009_auth_sessions", "011_auth_letters", "012_mfa", "013_auth_oauth",
        "014_lower_keys", "015_storage_service", "016_storage_uploads", "019_s3", "020_files_hold",
        "021_storage_listings", "022_storage_listings_by_time",
    ]  # fmt: skip
    assert [version for (version,) in versions] == wanted


@pytest.mark.parametrize("suffix", ["", "_new"])
def test_a_template_that_is_half_dropped_is_built_anew(infra, fresh, suffix):
    name = f"{fresh.ensure('test')}{suffix}"
    with infra.databases.cluster.session("test") as admin:
        if suffix:
            admin.execute(f"CREATE DATABASE {name} OWNER launchdb_platform")
        else:
            admin.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
    half_drop(infra.database.conninfo, name)
    if suffix:
        with infra.databases.cluster.session("test") as admin:
            admin.execute(f"ALTER DATABASE {fresh.name} IS_TEMPLATE false")
            admin.execute(f"DROP DATABASE {fresh.name}")
    fresh.ensure("test")
    assert row(infra, fresh.name)[1:3] == (True, False)
    assert row(infra, f"{fresh.name}_new") is None
