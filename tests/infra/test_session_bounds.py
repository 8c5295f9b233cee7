"""Sessions of the platform's own: none of them waits without an end for what a tenant holds."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import psycopg
import pytest

from infra.embedded import prepare
from infra.errors import Unavailable
from infra.postgres import database as connections
from infra.postgres.admin.bounds import BEHIND_ANOTHER, CATALOGUE, PLATFORM, WHOLE_DATABASE, SessionBounds
from infra.postgres.cluster import Cluster

SHORT = SessionBounds(lock_seconds=0.3, statement_seconds=0.6)


@contextmanager
def _transaction(infra):
    with infra.database.transaction() as tx:
        yield tx.connection


@contextmanager
def _statement(infra):
    with infra.database.autocommit() as tx:
        yield tx.connection


# Every way in which a session of ours begins, but for those of a project's own logins, which `tenant_session` bounds.
WAYS = {
    "a session lent": (lambda infra, _name: infra.databases.cluster.session("test"), CATALOGUE),
    "one lent for long": (lambda infra, _name: infra.databases.cluster.session("test", WHOLE_DATABASE), WHOLE_DATABASE),
    "one in a database": (lambda infra, name: infra.databases.cluster.open_in_database(name, "test"), CATALOGUE),
    "one in a database for long": (
        lambda infra, name: infra.databases.cluster.open_in_database(name, "test", WHOLE_DATABASE),
        WHOLE_DATABASE,
    ),
    "a listener's": (lambda infra, name: infra.databases.cluster.opened_inside(name, "test"), CATALOGUE),
    "under the templates' lock": (lambda infra, _name: infra.databases.templates.locked("test"), BEHIND_ANOTHER),
    "a transaction on the platform": (lambda infra, _name: _transaction(infra), PLATFORM),
    "a statement on the platform": (lambda infra, _name: _statement(infra), PLATFORM),
    "a session of the platform's own": (lambda infra, _name: infra.database.connect(application_name="test"), PLATFORM),
    "one by hand": (lambda infra, _name: connections.connect(infra.database.conninfo, "test"), PLATFORM),
}


def told(session) -> SessionBounds:
    found = [
        session.execute("SELECT setting::int FROM pg_settings WHERE name = %s", (name,)).fetchone()[0]
        for name in ("lock_timeout", "statement_timeout")
    ]
    return SessionBounds(lock_seconds=found[0] / 1000, statement_seconds=found[1] / 1000)


@pytest.mark.parametrize("way", WAYS)
def test_a_session_of_ours_waits_no_longer_than_is_declared(infra, tenant, way):
    opened, declared = WAYS[way]
    with opened(infra, tenant.id) as session:
        assert told(session) == declared


def test_what_migrates_the_platform_waits_no_longer_than_is_declared(monkeypatch, platform_url):
    seen = []
    monkeypatch.setattr(prepare.migrations, "apply_migrations", lambda session, _folder: seen.append(told(session)))
    monkeypatch.setattr(prepare, "load", lambda: SimpleNamespace(database_url=platform_url, administrator_url=""))
    with pytest.raises(AttributeError):  # nothing else of the settings is there
        prepare.prepare()
    assert seen == [BEHIND_ANOTHER]


def test_a_session_that_was_lent_for_long_is_lent_for_short_again(infra):
    cluster = Cluster(infra.database.conninfo, max_size=1, bounds=SHORT)
    with cluster.session("test", WHOLE_DATABASE) as session:
        pid = session.info.backend_pid
    with cluster.session("test") as session:
        assert (session.info.backend_pid, told(session)) == (pid, SHORT)
    cluster.close()


def test_a_limit_that_is_none_is_no_limit_of_a_session_of_ours():
    for none in ({"lock_seconds": 0, "statement_seconds": 1}, {"lock_seconds": 1, "statement_seconds": 0.0001}):
        with pytest.raises(ValueError, match="an end"):
            SessionBounds(**none)


def test_options_of_the_url_stay_and_lift_no_limit(infra):
    url = psycopg.conninfo.make_conninfo(infra.database.conninfo, options="-c work_mem=5MB -c statement_timeout=0")
    with connections.connect(url, "test") as session:
        assert session.execute("SHOW work_mem").fetchone() == ("5MB",)
        assert told(session) == PLATFORM


@pytest.fixture
def impatient(infra, tenant):
    """An administrator on the tenant's server who waits for less than a second."""
    cluster = Cluster(infra.database.conninfo, bounds=SHORT)
    yield cluster
    cluster.close()


@contextmanager
def holding(tenant, statement):
    """Have the project's owner hold what a statement takes, in a transaction that they leave open."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("SET idle_in_transaction_session_timeout = 0")
        owner.execute("BEGIN")
        owner.execute(statement)
        yield
        owner.execute("ROLLBACK")


def test_a_lock_that_a_tenant_holds_on_its_login_is_not_waited_for(impatient, tenant):
    owner = tenant.roles.owner
    with (
        holding(tenant, f"ALTER ROLE \"{owner}\" PASSWORD 'another'"),
        pytest.raises(Unavailable, match="another session holds it"),
        impatient.session("test") as admin,
    ):
        admin.execute(f'ALTER ROLE "{owner}" CONNECTION LIMIT 7')


def test_a_lock_that_a_tenant_holds_in_its_database_is_not_waited_for(impatient, tenant):
    with (
        holding(tenant, "CREATE TABLE held (); LOCK TABLE auth.users IN ACCESS SHARE MODE"),
        pytest.raises(Unavailable, match="another session holds it"),
        impatient.open_in_database(tenant.id, "test") as admin,
    ):
        admin.execute("ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY")


def test_a_statement_of_ours_that_takes_too_long_may_be_tried_again(impatient):
    with pytest.raises(Unavailable, match="longer than it was given"), impatient.session("test") as admin:
        admin.execute("SELECT pg_sleep(20)")
