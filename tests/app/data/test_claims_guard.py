"""The guard of well-known claims packages, `session_user = 'authenticator'`, which here would hold for nobody's request."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from app.data.config import from_values
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from tests.app.data.conftest import SECRET, token
from tests.app.data.harm import ask

GUARD = """CREATE OR REPLACE FUNCTION is_claims_admin() RETURNS "bool" LANGUAGE "plpgsql" AS $$
  BEGIN
    IF session_user {login} THEN
      IF current_setting('request.jwt.claims', true)::jsonb->>'role' = 'service_role' THEN RETURN true; END IF;
      RETURN coalesce((current_setting('request.jwt.claims', true)::jsonb)->'app_metadata'->'claims_admin', 'false')::bool;
    ELSE
      RETURN true;
    END IF;
  END;
$$"""
MISTAKEN = [
    GUARD.format(login="= 'authenticator'"),
    GUARD.format(login="/* the API */ = -- who asks\n 'authenticator'"),
    GUARD.format(login="IN ('authenticator', 'anon')"),
    "CREATE FUNCTION f() RETURNS bool LANGUAGE sql AS $$SELECT 'authenticator' <> SESSION_USER$$",
    "CREATE FUNCTION f() RETURNS bool LANGUAGE sql BEGIN ATOMIC SELECT session_user = 'authenticator'; END",
    "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$BEGIN IF session_user <> 'authenticator' THEN NULL; END IF; END$$",
    "CREATE POLICY p ON kept USING (session_user <> 'authenticator')",
    "CREATE VIEW v AS SELECT 1 AS id WHERE session_user <> 'authenticator'",
]
PLAIN = [
    "CREATE FUNCTION g() RETURNS bool LANGUAGE sql AS $$SELECT session_user = 'somebody'$$",
    "CREATE FUNCTION h() RETURNS text LANGUAGE plpgsql AS $$BEGIN -- session_user = 'authenticator'\n RETURN 'authenticator'; END$$",
    "CREATE POLICY q ON kept USING (session_user <> 'me')",
]


@pytest.fixture(scope="module")
def owner(tenant):
    with tenant.connect(tenant.roles.owner) as session:
        session.execute("CREATE TABLE kept (id int)")
        yield session


@pytest.mark.parametrize("statement", MISTAKEN)
def test_a_guard_that_would_hold_for_everybody_is_refused_with_what_to_write(owner, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="takes session_user = 'authenticator'") as refused:
        owner.execute(statement)
    assert r"session_user LIKE '%\_authenticator'" in refused.value.diag.message_hint
    assert owner.execute("SELECT * FROM launchdb.mistaken_logins()").fetchall() == []


@pytest.mark.parametrize("statement", PLAIN)
def test_other_uses_of_either_word_are_as_they_were(owner, statement):
    owner.execute(statement)


def test_what_the_hint_says_is_false_for_visitors_and_true_for_the_service_key(owner, tenant):
    owner.execute(GUARD.format(login=r"LIKE '%\_authenticator'"))
    read = {
        "db-uri": tenant.uri(tenant.roles.authenticator),
        "db-anon-role": tenant.roles.anon,
        "jwt-secret": SECRET,
        "jwt-role-claim-key": ".db_role",
    }
    with closing(Instance(from_values(read), Budget(2))) as instance:
        assert ask(instance, "POST", "/rpc/is_claims_admin", {}) == (200, "false")
        for role, admin in (("anon", "false"), ("authenticated", "false"), ("service_role", "true")):
            headers = {"authorization": f"Bearer {token({'role': role})}"}
            assert ask(instance, "POST", "/rpc/is_claims_admin", {}, headers) == (200, admin), role
    assert owner.execute("SELECT is_claims_admin()").fetchone() == (True,)


def test_what_was_there_before_is_named(owner, tenant):
    with tenant.as_admin() as admin:
        admin.execute("SET event_triggers = off")
        admin.execute(f'SET ROLE "{tenant.roles.owner}"')
        admin.execute(GUARD.format(login="= 'authenticator'"))
    assert owner.execute("SELECT * FROM launchdb.mistaken_logins()").fetchall() == [
        ("function", "public.is_claims_admin()")
    ]
