"""The watchdog: whoever lifts a time-out is ended by our clock, is told so, and takes nobody else along."""

from __future__ import annotations

from contextlib import contextmanager

import psycopg
import pytest

from app.factory import create_app
from app.platform.operations.internal import create_internal_app
from catalog.ids import new_id
from infra.errors import Unavailable
from infra.mail import mail
from infra.mail.mailbox import Mailbox
from jobs.requests import doctor
from tests.fixtures.projects import keep_master_key
from tests.fixtures.rivals import SLEEP, STUBBORN, lifted, logged_in, over, running
from tests.fixtures.servers import wait_until


@contextmanager
def told(tenant, *statements):
    """Tell a project's database of other time-outs from outside, as its settings do; then of its own again."""
    with tenant.as_admin("postgres") as admin:
        for statement in statements:
            admin.execute(f'ALTER DATABASE "{tenant.id}" {statement}')
        try:
            yield tenant
        finally:
            admin.execute(f"ALTER DATABASE \"{tenant.id}\" SET statement_timeout = '120s'")
            admin.execute(f"ALTER DATABASE \"{tenant.id}\" SET idle_in_transaction_session_timeout = '60s'")


@pytest.fixture
def strict(attacker, watched):
    """The attacker's project, whose statements and transactions have a moment: what the installation sets."""
    watched.limit(statement=0.2, idle=0.2)
    with told(attacker, "RESET statement_timeout", "RESET idle_in_transaction_session_timeout"):
        yield attacker


def sit_idle(tenant, watched):
    """Have a transaction of the project be ended in which nothing happens."""
    attack = logged_in(tenant)
    attack.execute("BEGIN")
    over(tenant)
    assert watched.look() == 1
    attack.close()


def test_a_statement_is_ended_by_the_limit_of_its_project_though_it_has_lifted_the_time_out(
    watched, attacker, bystander
):
    with (
        told(attacker, "SET statement_timeout = '1s'"),
        running(logged_in(attacker), SLEEP) as attack,
        running(logged_in(bystander), SLEEP) as other,
    ):
        over(attacker, 1.1)
        assert watched.look() == 1
        wait_until(lambda: attack)
        assert isinstance(attack[0], psycopg.errors.QueryCanceled)
        assert watched.look() == 0
        assert other == []
    [(action, outcome, detail)] = watched.audited(attacker)
    assert (action, outcome) == ("watchdog.statement", "ended")
    assert "longer than 1 s" in detail["reason"]
    [session] = detail["sessions"]
    assert (session["login"], session["did"]) == (attacker.roles.owner, "cancelled")
    assert watched.audited(bystander) == []


@pytest.mark.parametrize("login", ["owner", "authenticator", "auth", "storage"])
def test_a_statement_that_catches_its_cancellation_ends_with_its_session_whatever_the_login(watched, strict, login):
    with running(logged_in(strict, getattr(strict.roles, login)), STUBBORN) as attack:
        over(strict, login=getattr(strict.roles, login))
        assert watched.look() == 1
        assert watched.look(2) == 1
        did = [detail["sessions"][0]["did"] for _, _, detail in watched.audited(strict)]
        assert did == ["cancelled", "ended"], "A statement that catches its cancellation ends with its session"
        wait_until(lambda: attack)
        assert isinstance(attack[0], psycopg.OperationalError)


@pytest.mark.parametrize("broken", [False, True], ids=["idle", "aborted"])
def test_a_transaction_in_which_nothing_happens_is_ended_though_its_session_has_lifted_the_limit(
    watched, strict, bystander, broken
):
    attack = logged_in(strict)
    with logged_in(bystander) as other:
        attack.execute("BEGIN")
        other.execute("BEGIN")
        if broken:
            with pytest.raises(psycopg.errors.DivisionByZero):
                attack.execute("SELECT 1/0")
        over(strict)
        assert watched.look() == 1
        with pytest.raises(psycopg.OperationalError):
            attack.execute("SELECT 1")
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert [action for action, _, _ in watched.audited(strict)] == ["watchdog.idle_transaction"]


def test_sessions_of_the_platform_are_never_ended(watched, strict):
    with (
        lifted(strict.as_admin()) as ours,
        lifted(strict.connect(strict.roles.dump)) as backup,
        lifted(strict.as_admin("postgres")) as elsewhere,
    ):
        watched.limit(statement=0.1, idle=0.1, locks=0.0, owner=0.0, memory=1, holding=0.0, queue=-1.0)
        for session in (ours, backup, elsewhere):
            session.execute("BEGIN")
            session.execute("SELECT count(pg_advisory_xact_lock(pg_backend_pid(), n)) FROM generate_series(1, 50) n")
        with (
            running(lifted(strict.as_admin()), SLEEP) as vacuum,
            running(logged_in(strict, strict.roles.dump), SLEEP) as dump,
        ):
            over(strict, login="postgres")
            over(strict, login=strict.roles.dump)
            assert watched.look() == 0, "Sessions of the platform are never ended"
            assert (vacuum, dump) == ([], [])
        for session in (ours, backup, elsewhere):
            assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_session_of_a_running_job_of_the_project_is_left_to_the_jobs_own_clock(watched, strict, bystander):
    job = new_id("job")
    with watched.infra.database.transaction() as tx:
        tx.execute(
            "INSERT INTO jobs (id, kind, queue, status, args, created_by, project_id, ready)"
            " VALUES (%s, 'project.migrate', 'control', 'running', '{}', 'system', %s, false)",
            (job, strict.id),
        )
    session = logged_in(strict)
    session.execute(f"SET application_name = 'launchdb:{job}:1'")
    with running(session, SLEEP) as migration:
        over(strict)
        assert watched.look() == 0
        watched.rows("UPDATE jobs SET project_id = %s RETURNING id", (bystander.id,))
        assert watched.look() == 1
        wait_until(lambda: migration)


def test_the_owner_of_a_session_that_was_ended_is_written_once_an_hour(watched, strict, infra, engine):
    keep_master_key(infra.settings)
    infra.mail = mail.transport_of(infra.settings)

    def letters():
        engine.runner.drain()
        return Mailbox(infra.settings.mailbox_folder).messages()

    sit_idle(strict, watched)
    sit_idle(strict, watched)
    [letter] = letters()
    assert letter.subject == f"name-{strict.id[-4:]} went beyond what it may"
    assert "a transaction was idle for longer than 0.2 s" in letter.text
    watched.rows("UPDATE watchdog_endings SET written_at = now() - interval '61 minutes' RETURNING 1")
    sit_idle(strict, watched)
    assert len(letters()) == 2


def test_metrics_and_the_doctor_say_what_was_ended_and_whose(watched, strict, infra):
    keep_master_key(infra.settings)

    def findings():
        with infra.database.autocommit() as tx:
            return list(doctor.watchdog(tx, infra.settings))

    assert [one.status for one in findings()] == ["ok"]
    sit_idle(strict, watched)
    [found] = findings()
    assert (found.status, found.subject) == ("warning", strict.id)
    assert f"name-{strict.id[-4:]}: a transaction was idle for longer than 0.2 s" in found.evidence
    metrics = create_internal_app(create_app(infra.settings, infra)).test_client().get("/metrics").text
    assert 'launchdb_watchdog_endings_total{cause="idle_transaction"} 1.0' in metrics
    watched.rows("UPDATE watchdog_endings SET last_at = now() - interval '1 hour' RETURNING 1")
    assert [one.status for one in findings()] == ["ok"]


def test_it_goes_on_when_its_own_session_is_lost(watched, strict):
    assert watched.look() == 0
    with strict.as_admin("postgres") as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'launchdb-watchdog'"
        )
    with pytest.raises(Unavailable):
        watched.look()
    sit_idle(strict, watched)
