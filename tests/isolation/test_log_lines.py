"""What a tenant makes Postgres say stands in nobody's log: it is no line of its own, and pushes none out."""

from __future__ import annotations

import psycopg
import pytest

FORGED = "2026-01-01 00:00:00.000 UTC [1] FATAL:  forged"
SAID = {
    "a warning with a carriage return": "DO $$ BEGIN RAISE WARNING E'x\\r{forged}'; END $$",
    "a log line": "DO $$ BEGIN RAISE LOG E'x\\n{forged}'; END $$",
    "a message of its own": "DO $$ BEGIN RAISE EXCEPTION E'x\\x1b[2J\\r{forged}'; END $$",
    "a detail": "DO $$ BEGIN RAISE WARNING 'x' USING DETAIL = E'x\\r{forged}', HINT = E'\\r{forged}'; END $$",
    "an error that quotes": "SELECT E'x\\r{forged}'::int",
    "a name that is not there": 'SELECT * FROM "x\\r{forged}"',
    "a flood": "DO $$ BEGIN FOR n IN 1..2000 LOOP RAISE WARNING '{forged} %', repeat('x', 1000); END LOOP; END $$",
    "a tree of a query": "SET debug_print_parse = on; SELECT '{forged}'",
    "a file for sorting": "SET log_temp_files = 0; SELECT '{forged}' FROM generate_series(1, 300000) n ORDER BY n DESC",
}


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("login", ["owner", "authenticator", "auth", "storage"])
def test_nothing_that_a_tenant_makes_the_server_say_is_in_its_log(alice, server_log, login, said):
    with alice.connect(getattr(alice.roles, login)) as session:
        session.autocommit = True
        try:
            session.execute(SAID[said].format(forged=FORGED))
        except psycopg.Error:
            session.rollback()
    assert b"forged" not in server_log()
    assert len(server_log()) < 10_000


@pytest.mark.parametrize("login", ["owner", "authenticator", "auth", "storage", "dump"])
def test_no_login_lets_itself_be_logged(alice, login):
    role = getattr(alice.roles, login)
    refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)
    for change in ("SET log_min_messages = debug1", f'ALTER ROLE "{role}" SET log_min_messages = debug1'):
        with alice.connect(role) as session, pytest.raises(refused):
            session.execute(change)
    with alice.connect(role) as session:
        assert session.execute("SHOW log_min_messages").fetchone() == ("panic",)
