"""A project's database that lets nobody in for a moment, as while a backup takes its place."""

from __future__ import annotations

from psycopg import sql

from tests.app.auth.people import joined, sign_in


def test_whoever_asks_meanwhile_is_told_to_come_again_and_nobody_is_signed_out(auth):
    person = joined(auth)
    database = sql.Identifier(auth.id)
    with auth.tenant.infra.databases.cluster.session("test") as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
        try:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (auth.id,))
            for answer in (person.get(), sign_in(auth, person.email)):
                assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
                assert answer.headers["Retry-After"] == "1"
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))
    assert person.get().status_code == 200
