"""Verifiers made here are the server's own."""

from __future__ import annotations

import secrets

import psycopg
import pytest
from psycopg import sql

from infra.postgres import scram


@pytest.mark.parametrize("rounds", [scram.FEW_ROUNDS, scram.CLIENT_ROUNDS])
def test_a_login_made_with_a_verifier_takes_the_password_and_no_other(platform_url, rounds):
    role, password = f"ldbtest_{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    made = scram.verifier(password, rounds=rounds)
    with psycopg.connect(platform_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(made)))
        try:
            with psycopg.connect(platform_url, user=role, password=password) as session:
                assert session.execute("SELECT session_user").fetchone() == (role,)
            for wrong in ("", password[:-1], password.swapcase(), made):
                with pytest.raises(psycopg.OperationalError):
                    psycopg.connect(platform_url, user=role, password=wrong).close()
            stored = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (role,)).fetchone()
            assert stored == (made,)
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_verifier_made_by_the_server_is_recognised(server_url):
    role, password = f"ldbtest_{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
        (stored,) = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (role,)).fetchone()
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert scram.matches(stored, password)
    assert not scram.matches(stored, password + "x")


@pytest.mark.parametrize(
    "known", [None, "", "md5" + "0" * 32, "SCRAM-SHA-256$x", "SCRAM-SHA-256$4096:AA==$AA==:AA==\n"]
)
def test_what_is_no_verifier_matches_nothing(known):
    assert not scram.matches(known, "password")


@pytest.mark.parametrize("password", ["pässwörd", "tab\there", "line\n", "nul\0"])
def test_a_password_that_would_need_normalising_is_refused(password):
    with pytest.raises(ValueError, match="ASCII"):
        scram.verifier(password, rounds=1)
