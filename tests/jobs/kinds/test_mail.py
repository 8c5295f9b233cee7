"""project.mail: the letter is taken once, forgotten, tried again where that helps, and never sent a third time."""

from __future__ import annotations

import pytest

from catalog import outbox
from config.settings import load
from infra.mail import mail
from infra.mail.mail import Email
from jobs.engine import commands
from jobs.engine import kind as kinds
from jobs.engine.lease import Leases
from jobs.engine.pruner import Pruner
from jobs.engine.runner import Runner
from jobs.engine.table import find
from jobs.requests import mailing
from jobs.requests.mailing import SendOptions
from tests.fixtures.projects import keep_master_key

LETTER = Email("ann@example.org", "Another password", "the link is ldbp_canary\n")


class Office:
    """Posts letters and carries them, with no waits between the attempts."""

    def __init__(self, infra, environment) -> None:
        self.infra = infra
        infra.settings = infra.settings.model_copy(
            update={
                name: getattr(load({**environment, "LAUNCHDB_HOME": str(infra.settings.home)}), name)
                for name in type(infra.settings).model_fields
                if name.startswith("smtp_")
            }
        )
        infra.mail = mail.transport_of(infra.settings)

    def post(self, letter=LETTER, **how):
        with self.infra.database.transaction() as tx:
            return mailing.send_email(tx, self.infra, letter, SendOptions(**{"seconds": 600, **how}))

    def carry(self, times=1):
        for _ in range(times):
            leases = Leases(self.infra.database, self.infra.settings, worker="here")
            runner = Runner(self.infra, leases, worker="here", queues=["control", "bulk"], serves=sorted(kinds.kinds()))
            runner.drain()
            with self.infra.database.autocommit() as tx:
                tx.execute("UPDATE jobs SET run_at = now(), claim_after = now() WHERE status = 'retrying'")

    def job(self, job):
        with self.infra.database.autocommit() as tx:
            return find(tx, job.id)

    def row(self):
        with self.infra.database.autocommit() as tx:
            return tx.row("SELECT * FROM mail_outbox ORDER BY id DESC LIMIT 1")


@pytest.fixture
def office(settings, infra, smtp):
    keep_master_key(settings)
    running = smtp.start()
    made = Office(infra, running.environment)
    made.sink, made.running = running.sink, running
    return made


def test_a_letter_is_taken_once_and_then_forgotten(office):
    job = office.post()
    waiting = office.row()
    assert (waiting["state"], waiting["scope"]) == ("waiting", "platform")
    assert b"canary" not in waiting["sealed"]
    assert job.args == {"outbox_id": waiting["id"], "project_id": None}
    office.carry(2)
    done = office.job(job)
    assert (done.status, done.result["takenBy"]) == ("succeeded", f"127.0.0.1:{office.running.port}")
    assert (office.row()["state"], office.row()["sealed"]) == ("accepted", None)
    [message] = office.sink.messages
    assert message["Message-ID"] == f"<{waiting['id']}@sender.test>"
    assert "canary" in message.get_content()
    with office.infra.database.autocommit() as tx:
        told = str(tx.rows("SELECT * FROM jobs")) + str(tx.rows("SELECT * FROM job_events"))
    assert "canary" not in told
    assert "ann@example.org" not in told


def test_a_sealed_letter_opens_in_its_own_row_only(office):
    office.post()
    office.post(Email("eve@example.org", "s", "t"))
    with office.infra.database.autocommit() as tx:
        tx.execute("UPDATE mail_outbox o SET sealed = (SELECT sealed FROM mail_outbox WHERE id <> o.id)")
    office.carry()
    assert office.sink.messages == []


def test_a_four_is_tried_again_and_a_five_fails_until_somebody_retries_it(office):
    office.sink.at_rcpt += ["451 come back", "450 come back"]
    job = office.post()
    office.carry()
    assert office.job(job).status == "retrying"
    assert "451" in office.job(job).error["detail"]
    office.carry(2)
    assert office.job(job).status == "succeeded"
    office.sink.at_data.append("554 no thanks")
    refused = office.post()
    office.carry(2)
    assert (office.job(refused).status, office.row()["state"]) == ("failed", "failed")
    assert len(office.sink.messages) == 1
    with office.infra.database.transaction() as tx:
        commands.retry(tx, refused.id)
    office.carry()
    assert (office.job(refused).status, office.row()["state"]) == ("succeeded", "accepted")
    assert len(office.sink.messages) == 2


def test_a_lost_answer_costs_one_second_copy_of_the_same_message(office):
    office.sink.at_data += ["hang up"]
    job = office.post()
    office.carry(2)
    assert office.job(job).status == "succeeded"
    assert len({message["Message-ID"] for message in office.sink.messages}) == 1
    assert len({message.as_bytes() for message in office.sink.messages}) == 1
    assert len(office.sink.messages) == 2


def test_a_server_that_loses_every_answer_gets_no_third_copy(office):
    office.sink.at_data += ["hang up"] * 5
    job = office.post()
    office.carry(5)
    assert office.job(job).status == "failed"
    assert "nobody knows" in office.job(job).error["detail"]
    assert len(office.sink.messages) == 2


def test_a_no_in_so_many_words_leaves_no_doubt(office):
    office.sink.at_data += ["451 come back"] * 4
    job = office.post()
    office.carry(5)
    assert office.job(job).status == "succeeded"
    assert len(office.sink.messages) == 1


def test_a_cancelled_letter_is_not_sent_unless_somebody_lets_it_go_on(office):
    job = office.post()
    with office.infra.database.transaction() as tx:
        commands.cancel(tx, job.id, by="operator")
    office.carry()
    assert (office.job(job).status, office.row()["state"]) == ("cancelled", "failed")
    assert office.sink.messages == []
    with office.infra.database.transaction() as tx:
        commands.retry(tx, job.id)
    office.carry()
    assert (office.job(job).status, office.row()["state"]) == ("succeeded", "accepted")
    assert len(office.sink.messages) == 1


def test_a_letter_whose_time_is_over_is_not_sent_and_forgotten(office, settings):
    job = office.post()
    other = office.post()
    with office.infra.database.autocommit() as tx:
        tx.execute("UPDATE mail_outbox SET expires_at = now() - interval '1 second'")
        tx.execute("UPDATE jobs SET run_at = now() + interval '1 hour', ready = false WHERE id = %s", (other.id,))
    office.carry()
    assert office.job(job).status == "failed"
    assert "expired" in office.job(job).error["detail"]
    Pruner(office.infra.database, settings).run_once()
    with office.infra.database.autocommit() as tx:
        assert tx.rows("SELECT DISTINCT state, sealed FROM mail_outbox") == [{"state": "expired", "sealed": None}]
    with pytest.raises(commands.JobConflict), office.infra.database.transaction() as tx:
        commands.retry(tx, job.id)
    assert office.sink.messages == []


def test_what_was_taken_long_ago_is_pruned(office, settings):
    office.post()
    office.carry()
    with office.infra.database.autocommit() as tx:
        tx.execute("UPDATE mail_outbox SET finished_at = now() - interval '31 days'")
    Pruner(office.infra.database, settings).run_once()
    assert office.row() is None


def test_what_anybody_asked_for_is_kept_a_day(office, settings):
    office.post(void=True, by="anonymous")
    kept = office.post()
    office.carry()
    with office.infra.database.autocommit() as tx:
        tx.execute("UPDATE mail_outbox SET finished_at = finished_at - interval '25 hours'")
        tx.execute("UPDATE jobs SET finished_at = finished_at - interval '25 hours'")
    Pruner(office.infra.database, settings).run_once()
    with office.infra.database.autocommit() as tx:
        assert tx.rows("SELECT id FROM jobs") == [{"id": kept.id}]
        assert tx.rows("SELECT void FROM mail_outbox") == [{"void": False}]


def test_a_void_letter_goes_nowhere(office):
    job = office.post(void=True)
    office.carry()
    assert office.job(job).status == "succeeded"
    assert office.sink.messages == []


def test_a_scope_sends_so_many_an_hour_and_others_are_not_held_up(office):
    office.infra.settings = office.infra.settings.model_copy(update={"mails_per_hour": 2})
    office.post(void=True)
    office.post()
    office.post()
    with pytest.raises(outbox.MailQuotaExceeded) as refused:
        office.post()
    assert 3500 < refused.value.wait_seconds <= 3600
    office.post(scope="proj_" + "0" * 16)
    with office.infra.database.autocommit() as tx:
        tx.execute("UPDATE mail_outbox SET created_at = created_at - interval '1 hour'")
    office.post()


def test_where_mail_is_off_nothing_is_written(office):
    office.infra.mail = None
    with pytest.raises(mailing.MailOff):
        office.post()
    assert office.row() is None


def test_a_malformed_letter_is_refused_before_anything_is_written(office):
    with pytest.raises(mail.Refused):
        office.post(Email("ann@example.org\r\nBcc: eve@example.org", "s", "t"))
    assert office.row() is None


def test_a_letter_of_a_project_that_is_gone_is_given_up(office):
    job = office.post(scope="proj_" + "1" * 16)
    with office.infra.database.autocommit() as tx:
        tx.execute("DELETE FROM data_keys WHERE scope LIKE 'proj%%'")
    office.carry()
    assert "project of this mail is gone" in office.job(job).error["detail"]
