"""A job that plays a backup can be cancelled whatever a tenant's own functions do to the login that restores."""

from __future__ import annotations

import pytest

from jobs.engine import commands, kind
from jobs.kinds.backup.verify_backup import VerifyBackup
from tests.jobs.conftest import wait_until
from tests.jobs.kinds.test_backups import shop

__all__ = ["shop"]
pytestmark = pytest.mark.gpg
# It sleeps for that login alone, and catches its own cancellation.
TRAP = """CREATE FUNCTION trap(n int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    WHILE session_user LIKE '%_restore' LOOP
        BEGIN PERFORM pg_sleep(200); EXCEPTION WHEN query_canceled THEN NULL; END;
    END LOOP;
    RETURN true; END $$"""


def at_work(shop) -> bool:
    with shop.infra.databases.cluster.session("test") as admin:
        return admin.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = %s AND wait_event = 'PgSleep')",
            (f"{shop.id}_restore",),
        ).fetchone()[0]


@pytest.mark.parametrize(
    "hung_on",
    ["ALTER TABLE notes ADD CHECK (trap(1))", "CREATE MATERIALIZED VIEW slow AS SELECT trap(1)"],
    ids=["a check of each row", "a materialised view"],
)
def test_a_verification_that_a_tenants_function_holds_up_is_cancelled_and_leaves_nothing(hung_on, shop):
    shop.sql(TRAP)
    shop.sql(hung_on)
    backup = shop.back_up()
    job = shop.engine.enqueue(VerifyBackup(shop.id, backup.id))
    running = shop.engine.in_background()
    wait_until(lambda: at_work(shop))
    with shop.infra.database.transaction() as tx:
        commands.cancel(tx, job.id, by="test")
    running.join(60)
    assert shop.engine.job(job.id).status == "cancelled"
    assert not at_work(shop)
    assert shop.databases() == {""}
    assert f"{shop.id}_restore" not in shop.roles()


def test_a_verification_that_a_tenants_function_holds_up_ends_at_its_deadline_says_so_and_leaves_nothing(
    shop, monkeypatch
):
    shop.sql(TRAP)
    shop.sql("ALTER TABLE notes ADD CHECK (trap(1))")
    backup = shop.back_up()
    monkeypatch.setattr(kind, "LONG_STEP_SECONDS", 4.0)  # as a verification is given; hours otherwise
    job = shop.engine.enqueue(VerifyBackup(shop.id, backup.id))
    running = shop.engine.in_background()
    wait_until(lambda: at_work(shop))
    running.join(60)
    seen = shop.engine.job(job.id)
    assert (seen.status, seen.attempt) == ("failed", 1)
    assert "took longer than the 4 s that it is given" in seen.error["detail"]
    assert not at_work(shop)
    assert shop.databases() == {""}
    assert f"{shop.id}_restore" not in shop.roles()
