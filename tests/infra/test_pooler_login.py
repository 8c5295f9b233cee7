"""What the pooler may ask Postgres for: logins of projects, by one function that nobody else may call."""

from __future__ import annotations

import pytest

from infra.pooler.login import ensure_pooler_login

STRANGERS = ("postgres", "launchdb_platform", "launchdb_owner", "anon", "%", "")


def asked(infra, name):
    with infra.database.autocommit() as tx:
        return [row["username"] for row in tx.rows("SELECT username FROM pgbouncer.get_auth(%s)", (name,))]


def test_the_pooler_learns_the_logins_of_projects_and_no_other(infra, tenant):
    assert asked(infra, tenant.roles.owner) == [tenant.roles.owner]
    plain = ("ldbtest_stranger", f"{tenant.id}_restore")
    with infra.database.autocommit() as tx:
        for name in plain:
            tx.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'x'")
    try:
        for name in (*STRANGERS, *plain, tenant.roles.dump, tenant.roles.anon):
            assert asked(infra, name) == [], f"The pooler learns the logins of projects and no other: {name}"
    finally:
        with infra.database.autocommit() as tx:
            for name in plain:
                tx.execute(f'DROP ROLE "{name}"')


@pytest.mark.parametrize("might", ["SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"])
def test_a_login_that_has_become_mighty_is_not_shown_to_the_pooler(infra, tenant, might):
    with infra.database.autocommit() as tx:
        tx.execute(f'ALTER ROLE "{tenant.roles.owner}" {might}')
    assert asked(infra, tenant.roles.owner) == [], (
        f"A login that has become mighty does not come through the pooler: {might}"
    )


def test_nobody_else_may_ask(infra):
    with infra.database.autocommit() as tx:
        public = tx.value("SELECT has_function_privilege('public', 'pgbouncer.get_auth(text)', 'execute')")
    assert public is False, "Nobody but the pooler may ask for the passwords of logins"


def test_the_pooler_gets_in_where_projects_have_taken_every_other_connection(infra):
    cluster, platform = infra.databases.cluster, infra.databases.platform
    ensure_pooler_login(cluster, platform, "a password for tests 1", "launchdb-tests")
    with infra.database.autocommit() as tx:
        tx.execute("REVOKE pg_use_reserved_connections FROM launchdb_pooler")
        taken = "SELECT pg_has_role('launchdb_pooler', 'pg_use_reserved_connections', 'USAGE')"
        assert tx.value(taken) is False
        ensure_pooler_login(cluster, platform, "a password for tests 1", "launchdb-tests")
        assert tx.value(taken) is True
