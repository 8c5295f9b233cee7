"""A pool's sessions outlive changes of what they have prepared: one request may fail for it, those behind it do not."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from infra.errors import Unavailable
from infra.postgres.cluster import Cluster
from infra.postgres.database import Database

OFTEN = 8  # more than it takes until a statement is prepared


@pytest.fixture
def database(platform_url):
    with closing(Database(platform_url, max_size=2)) as opened, psycopg.connect(platform_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE things (id int); INSERT INTO things VALUES (1)")
        yield opened, admin


def in_transaction(database):
    with database.transaction() as tx:
        return tx.row("SELECT * FROM things")


def by_itself(database):
    with database.autocommit() as tx:
        return tx.row("SELECT * FROM things")


@pytest.mark.parametrize("read", [in_transaction, by_itself])
@pytest.mark.parametrize("change", ["ALTER TABLE things ADD more text", "the session's own: DEALLOCATE ALL"])
def test_what_was_prepared_before_a_change_stops_one_request_at_most(database, read, change):
    opened, admin = database
    for _ in range(OFTEN):
        assert read(opened)["id"] == 1
    if change.startswith("ALTER"):
        admin.execute(change)
    else:
        with opened.autocommit() as tx:
            tx.execute("DO $$BEGIN EXECUTE 'DEALLOCATE ALL'; END$$")
    failed = 0
    for _ in range(OFTEN):
        try:
            assert read(opened)["id"] == 1
        except Unavailable:
            failed += 1
    assert failed <= 1


def test_the_administrator_s_sessions_begin_anew_as_well(server_url):
    with closing(Cluster(server_url, max_size=1)) as cluster:

        def ask(statement="SELECT 1"):
            with cluster.session("a test") as session:
                session.execute(statement)

        for _ in range(OFTEN):
            ask()
        # The name that it bore is taken from it by what was prepared, too: it fails at once.
        with pytest.raises(Unavailable, match="had prepared is of no use any more"):
            ask("DO $$BEGIN EXECUTE 'DEALLOCATE ALL'; END$$")
        for _ in range(OFTEN):
            ask()
