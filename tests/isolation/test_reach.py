"""Where a tenant's login gets to: its own database, as itself, and nowhere else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors, sql

from infra.postgres.project_staging import ProjectStaging
from infra.postgres.role_names import SHARED

LOGINS = ("owner", "authenticator", "auth", "storage", "dump")


@pytest.mark.parametrize("login", LOGINS)
def test_each_login_reaches_its_own_database(alice, login):
    with alice.connect(getattr(alice.roles, login)) as session:
        assert session.execute("SELECT current_database(), session_user").fetchone() == (
            alice.id,
            getattr(alice.roles, login),
        )


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("elsewhere", ["bob", "postgres", "template1", "template0", "project template"])
def test_no_login_reaches_any_other_database(alice, bob, cluster, login, elsewhere):
    named = {"bob": bob.id, "project template": cluster.databases.templates.name}
    with pytest.raises(psycopg.OperationalError) as refusal:
        alice.connect(getattr(alice.roles, login), named.get(elsewhere, elsewhere)).close()
        pytest.fail(f"A login of one project reaches no other database: {login}, {elsewhere}")
    assert "permission denied" in str(refusal.value) or "not currently accepting" in str(refusal.value)


def test_no_login_reaches_the_platform_database(infra, tenant):
    infra.databases.ensure_shared_roles("test")
    platform = psycopg.conninfo.conninfo_to_dict(infra.database.conninfo)["dbname"]
    for login in tenant.roles.logins:
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            tenant.connect(login, platform).close()


def test_no_password_opens_another_tenants_login(alice, bob):
    uri = alice.infra.databases.uri(bob.id, bob.roles.owner, alice.passwords[alice.roles.owner])
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(uri).close()


def test_the_api_roles_cannot_log_in(alice):
    with alice.as_admin() as admin:
        rows = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND rolcanlogin", ([*alice.roles.api, *SHARED],)
        ).fetchall()
    assert rows == []


def test_the_public_reaches_no_database_of_ours(cluster, alice, bob):
    with alice.as_admin() as admin:
        rows = admin.execute(
            "SELECT datname FROM pg_database d, (VALUES ('CONNECT'), ('TEMP'), ('CREATE')) AS p (right_)"
            " WHERE (datname IN ('postgres', 'template1') OR pg_get_userbyid(datdba) = 'launchdb_platform')"
            " AND has_database_privilege('public', d.oid, right_)"
        ).fetchall()
    assert rows == []


def test_no_role_of_a_tenant_is_mighty_or_a_member_beyond_its_project(alice, bob):
    names = [*alice.roles.all, *bob.roles.all]
    with alice.as_admin() as admin:
        mighty = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)"
            " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication)",
            (names,),
        ).fetchall()
        bypass = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND rolbypassrls ORDER BY 1",
            (list(alice.roles.all),),
        ).fetchall()
        foreign = admin.execute(
            "SELECT m.rolname, g.rolname FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member"
            "  JOIN pg_roles g ON g.oid = a.roleid"
            " WHERE m.rolname = ANY (%s)"
            "   AND (a.admin_option OR a.set_option AND g.rolname = ANY (%s)"
            "        OR left(g.rolname, 21) <> left(m.rolname, 21) AND g.rolname <> ALL (%s))",
            (names, list(SHARED), ["anon", "authenticated", "service_role", "launchdb_owner"]),
        ).fetchall()
    assert mighty == []
    expected = [(alice.roles.dump,), (alice.roles.service,)]
    assert bypass == expected, "Of a project's roles the service key's and the backups' alone get past row security"
    # The one exception: what backups log in as. Nobody is a member of it, and no tenant knows its password.
    assert set(foreign) == {(one.roles.dump, "pg_read_all_data") for one in (alice, bob)}


def test_nobody_may_do_what_the_login_that_dumps_may(alice, cluster):
    staging, name = ProjectStaging(cluster.databases, alice.roles, "test"), f"{alice.id}_restored"
    try:
        staging.create_empty(name, cluster.databases.templates.version)
        with staging.restorer(name) as login:
            assert login.execute("SELECT pg_has_role(%s, 'MEMBER')", (alice.roles.dump,)).fetchone() == (False,)
            with pytest.raises(errors.InsufficientPrivilege):
                login.execute("SELECT rolpassword FROM pg_authid")
        with alice.as_admin() as admin:
            members = "SELECT pg_get_userbyid(member) FROM pg_auth_members WHERE roleid = to_regrole(%s)"
            assert admin.execute(members, (alice.roles.dump,)).fetchall() == []
    finally:
        staging.drop(name)
        staging.drop_restorer()


def test_no_login_reaches_the_database_that_a_backup_of_another_project_is_restored_into(alice, bob, cluster):
    staging, name = ProjectStaging(cluster.databases, alice.roles, "test"), f"{alice.id}_restored"
    try:
        staging.create_empty(name, cluster.databases.templates.version)
        with staging.restorer(name), pytest.raises(psycopg.OperationalError, match="permission denied"):
            bob.connect(bob.roles.owner, name).close()
            pytest.fail("While a backup is restored no other project reaches what it is restored into")
    finally:
        staging.drop(name)
        staging.drop_restorer()


@pytest.mark.parametrize("login", LOGINS)
def test_no_login_becomes_a_shared_role_or_the_service_role_by_a_detour(alice, bob, login):
    name = getattr(alice.roles, login)
    allowed = set(alice.roles.api) if login in ("authenticator", "storage") else set()
    with alice.connect(name) as session:
        for role in {*SHARED, *alice.roles.all, *bob.roles.all, "postgres", "pg_read_all_data"} - {name}:
            if role in allowed:
                session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
                session.execute("RESET ROLE")
                continue
            with pytest.raises(errors.InsufficientPrivilege):
                session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
                pytest.fail(f"No login becomes a role that is not its own: {login}, {role}")


ALTERATIONS = (
    "ALTER ROLE anon SET statement_timeout = 1",
    "ALTER ROLE authenticated SET search_path = evil",
    "ALTER ROLE service_role RENAME TO mine",
    "ALTER ROLE launchdb_owner PASSWORD 'x'",
    "GRANT anon TO {me}",
    "GRANT {me} TO anon",
    "DROP ROLE anon",
    "CREATE ROLE eve",
    "CREATE ROLE eve SUPERUSER",
    "ALTER ROLE {me} SUPERUSER",
    "ALTER ROLE {me} CONNECTION LIMIT 1000",
    "ALTER ROLE {me} BYPASSRLS",
    "ALTER ROLE {me} SET temp_file_limit = -1",
    "ALTER ROLE {me} SET session_replication_role = replica",
    "SET session_replication_role = replica",
    "SET temp_file_limit = -1",
    "SET log_statement = 'all'",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER ROLE {bob} PASSWORD 'x'",
    "ALTER DATABASE {db} CONNECTION LIMIT -1",
    "ALTER DATABASE {db} SET search_path = evil",
    "ALTER DATABASE {db} OWNER TO {me}",
    "ALTER DATABASE {db} RENAME TO mine",
    "DROP DATABASE {db}",
    "CREATE DATABASE mine",
    "COMMENT ON DATABASE {db} IS 'mine'",
    "COMMENT ON ROLE {me} IS 'mine'",
    "ALTER SYSTEM SET log_statement = 'all'",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION postgres_fdw",
    "CREATE EXTENSION file_fdw",
    "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'int4in'",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION launchdb.schema_changed()",
    "DROP EVENT TRIGGER launchdb_schema_changed",
    "ALTER EVENT TRIGGER launchdb_schema_changed DISABLE",
    "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_reload_conf()",
    "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/launchdb-isolation'",
    "UPDATE launchdb.schema_version SET changes = 0",
    "DELETE FROM launchdb.schema_migrations",
    "CREATE TABLE launchdb.mine ()",
    "ALTER DEFAULT PRIVILEGES FOR ROLE anon GRANT ALL ON TABLES TO PUBLIC",
    "CREATE SCHEMA mine AUTHORIZATION anon",
    "REASSIGN OWNED BY launchdb_stamp TO {me}",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' LIMIT 1",
)


@pytest.mark.parametrize("statement", ALTERATIONS)
@pytest.mark.parametrize("login", ["owner", "auth", "authenticator"])
def test_no_login_changes_what_is_not_its_own(alice, bob, statement, login):
    names = {"me": getattr(alice.roles, login), "bob": bob.roles.owner, "db": alice.id}
    with alice.connect(names["me"]) as session, pytest.raises(psycopg.Error) as refusal:
        session.execute(statement.format(**{key: f'"{name}"' for key, name in names.items()}))
    # 0A000: no such thing here (an extension that is not installed); 42501: not allowed.
    assert refusal.value.sqlstate in ("42501", "0A000", "0LP01"), refusal.value


@pytest.mark.parametrize("role", ["anon", "authenticated", "service"])
def test_a_request_alters_neither_its_shared_namesake_nor_another_project(alice, bob, role):
    with alice.connect(alice.roles.authenticator) as session:
        for statement in (
            "ALTER ROLE anon SET statement_timeout = 1",
            f'ALTER ROLE "{bob.roles.anon}" SET work_mem = 1',
        ):
            with pytest.raises(errors.InsufficientPrivilege), session.transaction():
                session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(getattr(alice.roles, role))))
                session.execute(statement)
    with alice.as_admin() as admin:
        assert admin.execute("SELECT count(*) FROM pg_db_role_setting WHERE setrole = 'anon'::regrole").fetchone() == (
            0,
        )


def test_only_the_owner_and_who_requests_run_as_make_temporary_tables(alice, bob):
    with alice.connect(alice.roles.owner) as owner:
        owner.execute("CREATE TEMP TABLE mine ()")
    for role in alice.roles.api:
        with alice.connect(alice.roles.authenticator) as session:
            session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            session.execute("CREATE TEMP TABLE mine ()")
    for login in ("authenticator", "auth", "storage"):
        with alice.connect(getattr(alice.roles, login)) as session, pytest.raises(errors.InsufficientPrivilege):
            session.execute("CREATE TEMP TABLE mine ()")


@pytest.mark.parametrize("login", ["owner", "auth", "authenticator"])
def test_no_login_opens_its_database_to_others(alice, bob, login):
    with alice.connect(getattr(alice.roles, login)) as session:
        session.execute(f'GRANT CONNECT ON DATABASE "{alice.id}" TO PUBLIC')  # a warning, and nothing else
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        bob.connect(bob.roles.owner, alice.id).close()


def test_queries_of_other_tenants_are_not_shown(alice, bob):
    with bob.connect(bob.roles.owner) as neighbour, alice.connect(alice.roles.owner) as curious:
        neighbour.execute("SELECT 'the word is swordfish'")
        seen = curious.execute("SELECT query FROM pg_stat_activity WHERE datname = %s", (bob.id,)).fetchall()
    assert "swordfish" not in str(seen)


def test_the_limits_hold_whatever_a_tenant_sets(alice):
    with alice.connect(alice.roles.owner) as owner:
        owner.execute(f'ALTER ROLE "{alice.roles.owner}" SET statement_timeout = 0')
        limit = owner.execute("SHOW temp_file_limit").fetchone()
        assert limit == ("1GB",), "What a tenant may use of the disk meanwhile is bounded, whatever they set"
        assert owner.execute("SHOW statement_timeout").fetchone() == ("2min",)
    with alice.as_admin() as admin:
        limits = admin.execute(
            "SELECT datconnlimit, pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (alice.id,)
        ).fetchone()
        assert limits == (88, "launchdb_platform")


def test_connections_beyond_the_limit_are_refused(cluster):
    from tests.fixtures.projects import drop, new_tenant

    tenant = new_tenant(cluster)
    held = []
    try:
        with tenant.as_admin() as admin:
            admin.execute(f'ALTER DATABASE "{tenant.id}" CONNECTION LIMIT 3')
        held = [tenant.connect(tenant.roles.owner) for _ in range(3)]
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            tenant.connect(tenant.roles.authenticator).close()
    finally:
        for session in held:
            session.close()
        drop(cluster, tenant.id)


def test_names_labels_and_settings_hold_only_the_opaque_id(alice):
    with alice.as_admin() as admin:
        labels = admin.execute(
            "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = ANY (%s)"
            " UNION SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
            (list(alice.roles.all), alice.id),
        ).fetchall()
        settings = admin.execute("SELECT setconfig::text FROM pg_db_role_setting").fetchall()
    assert labels == [(f"launchdb:{alice.id}",)]
    assert not any(password in str(settings) for password in alice.passwords.values())
