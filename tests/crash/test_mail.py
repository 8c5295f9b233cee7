"""Whoever is killed while a mail is sent: it is taken, once where nobody can die in between, never three times."""

from __future__ import annotations

import signal

import pytest

from catalog import endings
from infra.mail.mail import Email
from infra.mail.mailbox import Mailbox
from jobs.engine import kind as kinds
from jobs.engine.crash import EXIT_STATUS
from jobs.engine.enqueue import enqueue
from jobs.engine.lease import Leases
from jobs.engine.runner import Runner
from jobs.engine.table import find
from jobs.kinds.project.mail import SendMail
from jobs.kinds.project.warn import WarnOwner
from jobs.requests import mailing
from jobs.requests.mailing import SendOptions
from tests.crash.attempts import Attempt, attempt_in_a_process
from tests.crash.carrying import pass_on
from tests.crash.places import places
from tests.crash.test_cancel_matrix import Request
from tests.fixtures.projects import add_project, keep_master_key

LETTER = Email("ann@example.org", "Another password", "a link\n")


@pytest.fixture
def posted(settings, infra):
    """A letter in the outbox of an installation."""
    keep_master_key(settings)
    with infra.database.transaction() as tx:
        return mailing.send_email(tx, infra, LETTER, SendOptions(600))


def ended(infra, job) -> tuple:
    with infra.database.autocommit() as tx:
        row = tx.row("SELECT state, sealed FROM mail_outbox")
        return find(tx, job.id).status, row["state"], row["sealed"]


def kill_when_taken(settings, infra, running) -> None:
    """Run an attempt whose process is killed once the server has the mail, before its answer is written down."""
    process = Attempt(settings, **running.environment)
    running.sink.on_taken = process.kill
    assert process.wait() == -signal.SIGKILL
    running.sink.on_taken = lambda: None
    pass_on(infra)


@pytest.mark.parametrize("crash", places(SendMail))
def test_a_killed_mail_is_in_the_mailbox_once(crash, settings, infra, posted):
    assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
    pass_on(infra)
    assert attempt_in_a_process(settings) == 0
    assert ended(infra, posted) == ("succeeded", "accepted", None)
    assert [letter.subject for letter in Mailbox(settings.mailbox_folder).messages()] == [LETTER.subject]


@pytest.mark.parametrize("point", ["before_act", "after_act"])
def test_a_cancelled_mail_says_whether_it_went(point, settings, infra, posted):
    leases = Leases(infra.database, settings, worker="here")
    runner = Runner(infra, leases, worker="here", queues=["control"], serves=sorted(kinds.kinds()))
    (step,) = SendMail.kind.steps
    runner.crash = request = Request(infra, posted, step.name, point)
    runner.run_one()
    request.asking.join(5)
    status, state, sealed = ended(infra, posted)
    sent = len(Mailbox(settings.mailbox_folder).messages())
    assert not request.refused
    if point == "before_act":
        assert (status, state, sent) == ("cancelled", "failed", 0)
    else:  # it was too late
        assert (state, sealed, sent) == ("accepted", None, 1)
        assert status in ("succeeded", "cancelled")


@pytest.mark.parametrize("crash", places(SendMail))
def test_a_mail_killed_at_a_crash_point_is_taken_by_a_server_once(crash, settings, infra, posted, smtp):
    running = smtp.start()
    assert attempt_in_a_process(settings, crash=crash, **running.environment) == EXIT_STATUS
    pass_on(infra)
    assert attempt_in_a_process(settings, **running.environment) == 0
    assert ended(infra, posted) == ("succeeded", "accepted", None)
    assert len(running.sink.messages) == 1


def test_a_worker_killed_before_it_could_write_the_answer_down_costs_one_equal_copy(settings, infra, posted, smtp):
    running = smtp.start()
    kill_when_taken(settings, infra, running)
    assert attempt_in_a_process(settings, **running.environment) == 0
    assert ended(infra, posted) == ("succeeded", "accepted", None)
    first, second = running.sink.messages
    assert first.as_bytes() == second.as_bytes()


def test_killed_each_time_no_third_copy_is_sent(settings, infra, posted, smtp):
    running = smtp.start()
    kill_when_taken(settings, infra, running)
    kill_when_taken(settings, infra, running)
    assert attempt_in_a_process(settings, **running.environment) == 0
    assert ended(infra, posted)[0] == "failed"
    assert len(running.sink.messages) == 2


@pytest.mark.parametrize("crash", places(WarnOwner))
def test_a_killed_warning_to_an_owner_is_written_once(crash, settings, infra):
    keep_master_key(settings)
    project = add_project(infra, status="active")
    with infra.database.transaction() as tx:
        endings.count(tx, project, "locks", 1, "it held them all")
        job = enqueue(tx, WarnOwner(project, "locks"))
    assert attempt_in_a_process(settings, crash=crash) == EXIT_STATUS, "the crash point was not reached"
    pass_on(infra)
    for _attempt in range(2):  # the warning, and the mail that it has written
        assert attempt_in_a_process(settings) == 0
    with infra.database.autocommit() as tx:
        assert find(tx, job.id).status == "succeeded"
        assert tx.value("SELECT count(*) FROM mail_outbox") == 1
    [letter] = Mailbox(settings.mailbox_folder).messages()
    assert "it held them all" in letter.text
