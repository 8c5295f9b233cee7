"""A worker needs sessions of its own: behind a transaction pooler it refuses to start, and says why."""

from __future__ import annotations

import psycopg
import pytest

from infra.errors import Refused
from infra.postgres.database import Database
from jobs.engine.worker import Liveness, worker_name
from tests.fixtures.plain_pooler import pooled_by_itself

pytestmark = pytest.mark.pgbouncer


@pytest.fixture
def pooled(platform_url, tmp_path):
    """Conninfo of the platform database through a pooler in transaction mode."""
    with pooled_by_itself(platform_url, tmp_path) as through:
        yield through


def test_a_worker_behind_a_transaction_pooler_refuses_to_start(pooled):
    database = Database(pooled, name="through-the-pooler", max_size=4)
    # Other clients' transactions move the pooler's sessions about between two statements of ours.
    others = [psycopg.connect(pooled, autocommit=True) for _ in range(3)]
    held = psycopg.connect(pooled)
    liveness = Liveness(database, name=worker_name(), queues=["control"], threads=1, heard=lambda _payload: None)
    try:
        with pytest.raises(Refused, match="pooler"):
            for _ in range(50):
                held.execute("SELECT 1")
                liveness.take()
                held.rollback()
    finally:
        for connection in (*others, held):
            connection.close()
        database.close()
