"""Databases and roles as wanted ends: made once, mended, dropped, also eight at a time and after a crash."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from catalog import names
from catalog.ids import new_project_id
from infra.errors import Refused, Unavailable
from infra.postgres.cluster import Cluster
from tests.fixtures.projects import drop, new_tenant


@pytest.fixture
def admin(server_url):
    with psycopg.connect(server_url, autocommit=True) as session:
        yield session


def known(infra, project):
    return [thing.name for thing in infra.databases.list_labelled() if thing.project_id == project]


def test_a_project_is_there_when_ensured_and_gone_when_dropped(infra):
    tenant = new_tenant(infra)
    assert known(infra, tenant.id) == [tenant.id, *sorted(tenant.roles.all)]
    drop(infra, tenant.id)
    drop(infra, tenant.id)
    assert known(infra, tenant.id) == []


def test_eight_projects_at_once_all_come_and_all_go(infra):
    with ThreadPoolExecutor(8) as pool:
        tenants = list(pool.map(lambda _n: new_tenant(infra), range(16)))
        for tenant in tenants:
            infra.databases.check_round_trip(tenant.uri(tenant.roles.authenticator), tenant.roles, "test")
        list(pool.map(lambda tenant: drop(infra, tenant.id), tenants))
    assert [name for tenant in tenants for name in known(infra, tenant.id)] == []


def test_eight_who_make_the_same_project_make_one(infra):
    project = new_project_id()
    roles = names.roles(project)
    passwords = {login: secrets.token_urlsafe(32) for login in roles.logins}

    def make(_n):
        infra.databases.ensure_roles(roles, passwords, "test")
        infra.databases.ensure_database(project, roles, "test")

    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(make, range(8)))
        uri = infra.databases.uri(project, roles.authenticator, passwords[roles.authenticator])
        infra.databases.check_round_trip(uri, roles, "test")
    finally:
        drop(infra, project)


def test_a_changed_password_setting_and_membership_are_put_right(infra, tenant, admin):
    roles = tenant.roles
    with tenant.connect(roles.owner) as owner:
        owner.execute(f"ALTER ROLE \"{roles.owner}\" PASSWORD 'other'")
        owner.execute(f'ALTER ROLE "{roles.owner}" SET statement_timeout = 0')
    admin.execute(f'ALTER ROLE "{roles.dump}" RESET ALL')
    admin.execute(f'REVOKE anon FROM "{roles.anon}"')
    admin.execute(f'ALTER ROLE "{roles.authenticator}" CREATEROLE')
    infra.databases.ensure_roles(roles, tenant.passwords, "test")
    with tenant.connect(roles.owner) as owner:
        assert owner.execute("SHOW statement_timeout").fetchone() == ("2min",)
    with tenant.connect(roles.dump) as dump:
        assert dump.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
    assert admin.execute("SELECT pg_has_role(%s, 'anon', 'USAGE')", (roles.anon,)).fetchone() == (True,)
    assert admin.execute(
        "SELECT rolcreaterole FROM pg_roles WHERE rolname = %s", (roles.authenticator,)
    ).fetchone() == (False,)


def test_a_database_that_stands_open_or_without_limits_is_put_right(infra, tenant, admin):
    admin.execute(f'GRANT CONNECT ON DATABASE "{tenant.id}" TO PUBLIC')
    admin.execute(f'ALTER DATABASE "{tenant.id}" RESET ALL')
    infra.databases.ensure_database(tenant.id, tenant.roles, "test")
    assert admin.execute("SELECT has_database_privilege('public', %s, 'CONNECT')", (tenant.id,)).fetchone() == (False,)
    with tenant.connect(tenant.roles.owner) as owner:
        assert owner.execute("SHOW temp_file_limit").fetchone() == ("1GB",)


OPENINGS = {
    "a database that is open to everybody": 'GRANT CONNECT ON DATABASE "{id}" TO PUBLIC',
    "a password that a tenant has changed": "ALTER ROLE \"{id}_auth\" PASSWORD 'mine'",
    "a membership that was added": 'GRANT pg_monitor TO "{id}_owner"',
}


@pytest.mark.parametrize("opening", OPENINGS)
def test_what_opens_a_project_is_found_by_a_look(infra, tenant, admin, opening):
    def faults():
        seen = infra.databases.survey(tenant.roles, "test")
        return infra.databases.differences(seen, tenant.roles, tenant.passwords, closed=False)

    assert faults() == []
    admin.execute(OPENINGS[opening].format(id=tenant.id))
    assert len(faults()) == 1, f"The sweep finds {opening}"


def test_a_copy_that_was_not_furnished_is_finished(infra, tenant, admin):
    drop_only = infra.databases.templates.name
    infra.databases.drop_database(tenant.id, tenant.roles, "test")
    admin.execute(
        f'CREATE DATABASE "{tenant.id}" OWNER launchdb_platform TEMPLATE {drop_only}'
        " STRATEGY wal_log CONNECTION LIMIT 0"
    )
    assert tenant.id in known(infra, tenant.id)
    infra.databases.ensure_database(tenant.id, tenant.roles, "test")
    infra.databases.check_round_trip(tenant.uri(tenant.roles.authenticator), tenant.roles, "test")


@pytest.mark.parametrize("verb", ["ensure", "drop"])
def test_what_an_interrupted_drop_has_left_is_no_database(infra, tenant, admin, verb):
    admin.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", (tenant.id,))
    if verb == "drop":
        infra.databases.drop_database(tenant.id, tenant.roles, "test")
        assert tenant.id not in known(infra, tenant.id)
        return
    infra.databases.ensure_database(tenant.id, tenant.roles, "test")
    infra.databases.check_round_trip(tenant.uri(tenant.roles.authenticator), tenant.roles, "test")


def test_a_database_is_dropped_from_under_clients_that_come_back_at_once(infra, tenant):
    stop = threading.Event()

    def insist():
        while not stop.is_set():
            try:
                tenant.connect(tenant.roles.owner).close()
            except psycopg.OperationalError:
                stop.wait(0.005)

    clients = [threading.Thread(target=insist) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        infra.databases.drop_database(tenant.id, tenant.roles, "test")
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert tenant.id not in known(infra, tenant.id)


def test_roles_that_are_named_elsewhere_can_still_be_dropped(infra, tenant, admin, platform_url):
    with psycopg.connect(platform_url, autocommit=True) as elsewhere:
        elsewhere.execute("CREATE TABLE lent ()")
        elsewhere.execute(f'GRANT SELECT ON lent TO "{tenant.roles.owner}"')
        elsewhere.execute(f'CREATE TABLE given (); ALTER TABLE given OWNER TO "{tenant.roles.auth}"')
    admin.execute(f'GRANT CONNECT ON DATABASE postgres TO "{tenant.roles.anon}"')
    drop(infra, tenant.id)
    assert known(infra, tenant.id) == []
    with psycopg.connect(platform_url) as elsewhere:
        assert elsewhere.execute("SELECT to_regclass('lent') IS NOT NULL").fetchone() == (True,)


def test_a_role_of_somebody_else_is_neither_taken_nor_dropped(infra, admin):
    project = new_project_id()
    roles = names.roles(project)
    admin.execute(f'CREATE ROLE "{roles.owner}"')
    try:
        with pytest.raises(Refused, match="not ours"):
            infra.databases.ensure_roles(roles, {}, "test")
        infra.databases.drop_roles(roles, "test")
        left = admin.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", (roles.owner,)).fetchone()
        assert left == (1,), "What is not ours is never dropped"
    finally:
        admin.execute(f'DROP ROLE IF EXISTS "{roles.owner}"')


def test_a_session_bears_the_name_of_its_run_while_it_works(infra, admin):
    with infra.databases.cluster.session("launchdb:job_x:7") as session:
        pid = session.info.backend_pid
        query = "SELECT application_name FROM pg_stat_activity WHERE pid = %s"
        assert admin.execute(query, (pid,)).fetchone() == ("launchdb:job_x:7",)
    assert admin.execute(query, (pid,)).fetchone() == ("launchdb-administrator",)


def test_a_run_whose_sessions_were_ended_is_told_to_try_again(infra, admin):
    with pytest.raises(Unavailable), infra.databases.cluster.session("launchdb:job_x:7") as session:
        admin.execute("SELECT pg_terminate_backend(%s, 2000)", (session.info.backend_pid,))
        session.execute("SELECT 1")
    with infra.databases.cluster.session("launchdb:job_x:8") as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_nobody_comes_in_without_a_password(server_url):
    where = {**psycopg.conninfo.conninfo_to_dict(server_url), "passfile": "/dev/null"}
    del where["password"]
    for more in ({}, {"password": "guess"}):
        with pytest.raises(psycopg.OperationalError, match=r"password"):
            psycopg.connect(**where, **more).close()
            pytest.fail("Nobody comes in to Postgres without a password")


def test_a_server_that_is_away_is_unavailable():
    cluster = Cluster("postgresql://postgres@127.0.0.1:1/postgres")
    with pytest.raises(Unavailable), cluster.open_in_database("postgres", "test"):
        raise AssertionError
    cluster.close()


def test_a_proof_that_fails_says_so(infra, tenant, admin):
    admin.execute(f'ALTER ROLE "{tenant.roles.anon}" BYPASSRLS')
    with pytest.raises(Refused, match="does not answer"):
        infra.databases.check_round_trip(tenant.uri(tenant.roles.authenticator), tenant.roles, "test")


def test_no_password_reaches_the_server_in_a_statement(infra, admin):
    log, passwords = [], {}
    stop = threading.Event()

    def watch():
        with psycopg.connect(infra.database.conninfo, autocommit=True) as watcher:
            while not stop.is_set():
                log.append(str(watcher.execute("SELECT query FROM pg_stat_activity").fetchall()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    # Until one of them was caught at it: a glance may fall between two statements.
    while not any("CREATE ROLE" in seen for seen in log) and len(passwords) < 500:
        project = new_project_id()
        given = {login: secrets.token_urlsafe(32) for login in names.roles(project).logins}
        infra.databases.ensure_roles(names.roles(project), given, "test")
        drop(infra, project)
        passwords.update(given)
    stop.set()
    watcher.join()
    assert any("CREATE ROLE" in seen for seen in log)
    assert not any(password in seen for seen in log for password in passwords.values())


@pytest.mark.parametrize("host", ["127.0.0.1", "/run/launchdb pg"])
def test_a_uri_names_its_parts_whatever_they_hold(host):
    cluster = Cluster(psycopg.conninfo.make_conninfo(host=host, port=5433, user="postgres"))
    parts = psycopg.conninfo.conninfo_to_dict(cluster.uri("proj_a", "proj_a_owner", "p@ss:/w%rd"))
    assert parts == {
        "host": host,
        "port": "5433",
        "dbname": "proj_a",
        "user": "proj_a_owner",
        "password": "p@ss:/w%rd",
    }
    cluster.close()
