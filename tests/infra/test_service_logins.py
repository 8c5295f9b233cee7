"""Each service has a login of its own on Postgres, which may do what that service does and nothing else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

import jobs.kinds  # noqa: F401 - schedules are of these
from infra.postgres.cluster import Cluster
from infra.secrets import secretfiles
from infra.secrets.service_logins import ensure_service_logins
from infra.secrets.services import LOGINS, SERVICES, SUPERUSER_FILE
from jobs.loops.scheduler import queue_loops

DENIED = psycopg.errors.InsufficientPrivilege
NAMES = sorted(name.removeprefix("launchdb_") for name in LOGINS)
# What each may read of the platform's tables at most; the API and workers read all.
READS = {
    "auth": {"projects"},
    "storage": {"projects"},
    "backup": {"owners"},
    "manager": {
        *("projects", "project_settings", "resources", "job_kinds", "queues", "jobs", "job_steps", "job_history"),
        *("breakers", "workers"),
    },
}
RAISES = (
    "CREATE ROLE launchdb_made_here",
    "CREATE DATABASE made_here",
    "COPY owners TO PROGRAM 'cat'",
    "SET ROLE postgres",
)
WIDER = "CREATE TABLE made_here (a int)", "DELETE FROM schema_migrations", "UPDATE audit SET actor = 'nobody'"


@pytest.fixture
def login(as_service):
    """Opens a session as a service does."""
    opened = []

    def connect(name):
        opened.append(psycopg.connect(as_service(name).database_url, autocommit=True))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def test_the_scheduler_s_login_can_do_all_that_the_scheduler_does(infra, infra_as, settings):
    with infra.database.autocommit() as tx:
        tx.execute(
            "INSERT INTO jobs (id, kind, queue, status, finished_at) VALUES (%s, 'project.vacuum', 'bulk', 'succeeded', '2020-01-01')",
            ("job_" + "0" * 32,),
        )
        tx.execute("INSERT INTO job_steps (job_id, name, position) SELECT id, 'step', 1 FROM jobs")
        tx.execute("INSERT INTO audit (actor, action) VALUES ('system', 'test')")
        tx.execute(
            "INSERT INTO workers (name, lock_key, host, pid, queues, serves, threads) VALUES ('w', 1, 'h', 1, '{}', '{}', 1)"
        )
    opened = infra_as("scheduler")
    for loop in queue_loops(opened):
        loop.run_once()
    with infra.database.autocommit() as tx:
        assert tx.value("SELECT count(*) FROM jobs WHERE id = 'job_' || repeat('0', 32)") == 0, "it was too old"
        assert tx.value("SELECT count(*) FROM job_steps") == 0
        assert tx.value("SELECT count(*) FROM audit WHERE chain_hash IS NULL") == 0


def test_the_scheduler_ends_what_a_dead_worker_s_administrator_session_has_left_and_nobody_else_s(infra, login):
    job = "job_" + "1" * 32
    ask = "SELECT end_attempt_sessions(%s, 3)"
    older, newer = (infra.databases.cluster.opened_inside("postgres", f"launchdb:{job}:{fence}") for fence in (3, 4))
    scheduler = login("scheduler")
    assert scheduler.execute(ask, (f"{job}|launchdb.*",)).fetchone() == (0,)
    assert scheduler.execute(ask, (job,)).fetchone() == (1,), "an older attempt's, not the newer one's"
    newer.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        older.execute("SELECT 1")
    for one in (older, newer):
        one.close()
    for name in ("auth", "storage", "manager", "backup", "api"):
        with pytest.raises(DENIED):
            login(name).execute(ask, (job,))


@pytest.mark.parametrize("name", NAMES)
def test_no_service_s_login_is_more_than_its_grants(login, name):
    session = login(name)
    for statement in (*RAISES, *WIDER):
        with pytest.raises(DENIED):
            session.execute(statement)
            pytest.fail(f"{name} may {statement}")
    row = session.execute(
        "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = session_user"
    )
    assert row.fetchone() == (False,)


@pytest.mark.parametrize("name", sorted(READS))
def test_a_service_reads_the_tables_that_it_needs_and_no_other(login, name):
    session = login(name)
    tables = "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
    reads = {table for (table,) in session.execute(f"{tables} AND has_any_column_privilege(c.oid, 'SELECT')")}
    assert reads == READS[name]
    if name != "manager":
        changes = "has_any_column_privilege(c.oid, 'INSERT, UPDATE') OR has_table_privilege(c.oid, 'DELETE, TRUNCATE')"
        assert session.execute(f"{tables} AND ({changes})").fetchall() == []


@pytest.mark.parametrize("name", NAMES)
def test_no_service_but_the_api_and_workers_sees_a_secret_or_a_password(login, name):
    session = login(name)
    for table, column in (
        ("secrets", "sealed"),
        ("data_keys", "wrapped"),
        ("owners", "password_hash"),
        ("mail_outbox", "sealed"),
    ):
        wanted = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(table))
        if name in ("api", "worker"):
            session.execute(wanted)
        elif (name, table) != ("scheduler", "mail_outbox"):  # which forgets what has expired, all of it sealed
            with pytest.raises(DENIED):
                session.execute(wanted)


@pytest.mark.parametrize("name", NAMES)
def test_no_service_s_login_gets_into_a_project_s_database(infra, as_service, name):
    with infra.databases.cluster.session("launchdb-tests") as admin:
        admin.execute("DROP DATABASE IF EXISTS logins_try")
        admin.execute("CREATE DATABASE logins_try")
        admin.execute("REVOKE ALL ON DATABASE logins_try FROM PUBLIC")
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(as_service(name).database_url, dbname="logins_try")
    finally:
        with infra.databases.cluster.session("launchdb-tests") as admin:
            admin.execute("DROP DATABASE logins_try")


def test_a_login_that_was_changed_is_put_right_and_one_that_is_right_is_left_alone(
    infra, settings, as_service, login_passwords
):
    as_service("auth")
    cluster, platform = infra.databases.cluster, infra.databases.platform

    def ensure():
        return ensure_service_logins(cluster, platform, login_passwords, "launchdb-tests")

    assert ensure() == []
    for change in (
        "ALTER ROLE launchdb_auth SUPERUSER",
        "ALTER ROLE launchdb_auth PASSWORD 'another'",
        "ALTER ROLE launchdb_auth NOLOGIN",
        "GRANT pg_read_all_data TO launchdb_auth",
        "ALTER ROLE launchdb_auth VALID UNTIL '2020-01-01'",
    ):
        with cluster.session("launchdb-tests") as admin:
            admin.execute(change)
        assert ensure() == ["launchdb_auth"], change
        assert ensure() == []
    psycopg.connect(as_service("auth").database_url).close()


def test_a_service_s_table_names_files_that_exist_and_the_superuser_s_where_it_is_needed_alone():
    known = {*secretfiles.NAMES, *secretfiles.OWN, secretfiles.STORE_SECRET}
    for service, given in SERVICES.items():
        assert set(given.files) | set(given.logins.values()) <= known, service
    assert {name for name, given in SERVICES.items() if given.administrator or SUPERUSER_FILE in given.files} == {
        "postgres", "migrations", "worker", "worker-bulk",
    }  # fmt: skip
    holders = {name for name, given in SERVICES.items() if given.everything or "LAUNCHDB_MASTER_KEY" in given.files}
    assert holders == {"platform-api", "worker", "worker-bulk"}


def test_a_cluster_of_a_service_s_login_looks_at_the_server_and_ends_a_project_s_session_only(infra, as_service):
    here = Cluster(as_service("api").database_url, administrator=False)
    try:
        with here.session("launchdb-tests") as session:
            assert session.execute("SELECT sum(pg_database_size(oid)) > 0 FROM pg_database").fetchone() == (True,)
            with infra.database.autocommit() as tx, pytest.raises(DENIED):
                session.execute("SELECT pg_terminate_backend(%s)", (tx.value("SELECT pg_backend_pid()"),))
    finally:
        here.close()
