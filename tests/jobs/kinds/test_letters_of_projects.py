"""Letters of a project's Auth: sealed by Auth, sent by the worker, by the project's own mail server or the installation's."""

from __future__ import annotations

import socket

import psycopg
import pytest

from app.auth.errors import AuthError
from app.auth.letters import AuthLetter, RenderedLetter
from app.auth.mailing.outbox import OutboxLetters
from app.auth.serve.counts import AuthCounts
from app.auth.serve.project import AuthProjects
from catalog import names, secrets, settings
from catalog.settings_model import SettingsChanges
from config.settings import load
from infra import files
from infra.errors import Unavailable
from infra.mail import mail
from infra.mail.mailbox import Mailbox
from jobs.kinds import ConfigureProject
from jobs.kinds.project.rotate_secret import RotateSecret
from jobs.projects import project_secrets

ABOUT = AuthLetter(kind="recovery", to="ann@example.org", token="123456", token_hash="t" * 56)
LETTER = RenderedLetter(
    "ann@example.org", "Your password", "<p>the code is 654321</p>", "the code is 654321\n", 3600, ABOUT
)
VOID = RenderedLetter(
    "eve@example.org", "s", "<p>t</p>", "t\n", 60, AuthLetter("recovery", "eve@example.org", "", "", void=True)
)
OWN = {"smtpHost": "mail.shop.example", "mailFrom": "shop@shop.example", "mailFromName": "The Shop"}


class Post:
    """A project whose Auth writes letters by its own login, and a worker that sends them."""

    def __init__(self, life, infra_as) -> None:
        self.life, self.infra, self.id = life, life.infra, life.id
        self.auth, self.counts = infra_as("auth"), AuthCounts()
        self.projects = AuthProjects(life.infra.settings.auth_folder)
        self.letters = OutboxLetters(self.auth.database, self.counts)

    def send(self, letter=LETTER) -> None:
        self.letters.send(self.projects.find(self.id), letter)

    def work(self) -> None:
        self.life.engine.runner.drain()

    def set(self, **changes) -> None:
        with self.infra.database.transaction() as tx:
            kept = settings.read(tx, self.id)
            settings.change(tx, self.infra, kept, SettingsChanges.model_validate(changes), bounded=False, world=True)
        self.life.engine.enqueue(ConfigureProject(self.id))
        self.work()

    def rows(self, query="SELECT * FROM mail_outbox ORDER BY id"):
        with self.infra.database.autocommit() as tx:
            return tx.rows(query)

    def job(self):
        return self.rows("SELECT * FROM jobs WHERE kind = 'project.mail' ORDER BY seq DESC LIMIT 1")[0]


@pytest.fixture
def post(life, infra_as):
    life.provision()
    made = Post(life, infra_as)
    yield made
    made.projects.close()


@pytest.fixture
def own_server(post, smtp, monkeypatch):
    """A mail server that the project's name for it leads to, in a network that the operator allows."""
    running = smtp.start(auth_required=True)
    environment = {**running.environment, "LAUNCHDB_AUTH_PRIVATE_NETWORKS": "127.0.0.0/8"}
    read = load({**environment, "LAUNCHDB_HOME": str(post.infra.settings.home)})
    taken = {name: getattr(read, name) for name in ("smtp_ca_file", "auth_private_networks")}
    post.infra.settings = post.infra.settings.model_copy(update=taken)

    def resolve(host, port, *_more):
        assert (host, port) == ("mail.shop.example", 587)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", running.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)  # what the name servers of the world say
    return running


def test_without_a_mail_server_the_mailbox_shows_what_would_have_been_sent(post):
    post.send()
    post.work()
    job = post.job()
    assert (job["status"], job["project_id"], job["owner_id"]) == ("succeeded", post.id, None)
    [message] = Mailbox(post.infra.settings.mailbox_folder).messages()
    assert (message.to, message.subject, message.text) == ("ann@example.org", "Your password", "the code is 654321\n")
    [row] = post.rows()
    assert (row["state"], row["sealed"], row["scope"]) == ("accepted", None, post.id)


def test_it_waits_sealed_by_the_projects_own_key_and_in_no_job(post):
    post.send()
    [row] = post.rows()
    assert row["sealed_by"] == "mail_key"
    told = str(post.rows("SELECT * FROM jobs, job_events"))
    for word in ("654321", "ann@example.org"):
        assert word not in told
        assert word.encode() not in bytes(row["sealed"])
    assert post.life.secrets()[names.MAIL_KEY] not in told


def test_a_letter_that_waits_while_its_key_is_rotated_is_sent_and_after_a_day_it_is_not(post):
    before = post.projects.find(post.id)
    rotation = post.life.engine.enqueue(RotateSecret(post.id, project_secrets.JWT_SECRET))
    post.work()
    assert post.life.engine.job(rotation.id).status == "succeeded"
    post.letters.send(before, LETTER)  # by an Auth that has not been told yet
    post.work()
    assert [message.to for message in Mailbox(post.infra.settings.mailbox_folder).messages()] == ["ann@example.org"]
    with post.infra.database.autocommit() as tx:
        a_day_later = "UPDATE secrets SET expires_at = expires_at - interval '1 day' WHERE name = 'mail_key'"
        assert tx.execute(a_day_later + " AND expires_at IS NOT NULL") == 1
    post.letters.send(before, LETTER)
    post.work()
    assert post.job()["status"] == "failed"
    post.send()
    post.work()
    assert post.job()["status"] == "succeeded"


def test_a_letter_opens_in_its_own_row_alone(post):
    post.send()
    post.send()
    with post.infra.database.autocommit() as tx:
        tx.execute("UPDATE mail_outbox o SET sealed = (SELECT sealed FROM mail_outbox WHERE id <> o.id)")
    post.work()
    assert Mailbox(post.infra.settings.mailbox_folder).messages() == []
    assert post.job()["status"] == "failed"


def test_a_project_with_a_mail_server_of_its_own_sends_by_that_as_itself(post, own_server):
    post.set(**OWN, smtpUser="shop", smtpPassword="the mail password")
    assert post.projects.find(post.id).spec.has_mail
    post.send()
    post.work()
    assert post.job()["status"] == "succeeded", post.job()["error"]
    [message] = own_server.sink.messages
    assert message["From"] == "The Shop <shop@shop.example>"
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert own_server.sink.encrypted == [True]
    assert own_server.sink.users[0][1:] == ("shop", "the mail password")
    assert Mailbox(post.infra.settings.mailbox_folder).messages() == []


def test_a_mail_server_that_leads_into_the_operators_networks_is_not_asked(post, own_server):
    post.infra.settings = post.infra.settings.model_copy(update={"auth_private_networks": ""})
    post.set(**OWN)
    post.send()
    post.work()
    job = post.job()
    assert job["status"] == "failed"
    assert "no server that may be asked" in job["error"]["detail"]
    assert own_server.sink.messages == []


def test_a_new_password_counts_with_the_next_letter(post, own_server):
    post.set(**OWN, smtpUser="shop", smtpPassword="the mail password of before")
    post.send()
    post.work()
    assert post.job()["status"] == "failed"
    assert "535" in post.job()["error"]["detail"]
    with post.infra.database.transaction() as tx:
        secrets.delete(tx, post.id, "smtp_password")
        secrets.put(tx, post.infra.vault, post.id, "smtp_password", "the mail password")
    post.send()
    post.work()
    assert post.job()["status"] == "succeeded"


def test_the_installations_server_bears_the_projects_name_and_its_own_address(post, smtp):
    running = smtp.start()
    read = load({**running.environment, "LAUNCHDB_HOME": str(post.infra.settings.home)})
    taken = {name: getattr(read, name) for name in type(read).model_fields if name.startswith("smtp_")}
    post.infra.settings = post.infra.settings.model_copy(update=taken)
    post.infra.mail = mail.transport_of(post.infra.settings)
    post.set(mailFromName="The Shop")
    assert post.projects.find(post.id).spec.has_mail
    post.send()
    post.work()
    assert [message["From"] for message in running.sink.messages] == ["The Shop <launchdb@sender.test>"]


def test_a_new_password_of_the_installations_server_counts_with_the_next_letter(post, smtp):
    """It is a file that its rotation replaces once a mail has proven the new one; nothing is started anew."""
    running = smtp.start(auth_required=True)
    known = {**running.environment, "SMTP_USER": "launchdb", "LAUNCHDB_HOME": str(post.infra.settings.home)}
    read = load(known)
    taken = {name: getattr(read, name) for name in type(read).model_fields if name.startswith("smtp_")}
    post.infra.settings = post.infra.settings.model_copy(update=taken)
    post.infra.mail = mail.transport_of(post.infra.settings)
    for password, status in (("the mail password of before", "failed"), ("the mail password", "succeeded")):
        files.replace(post.infra.settings.secrets_folder / "SMTP_PASSWORD", f"{password}\n")
        post.send()
        post.work()
        assert post.job()["status"] == status
    assert len(running.sink.messages) == 1


def test_one_that_nobody_gets_costs_the_same_and_goes_nowhere(post):
    post.send(VOID)
    post.work()
    assert post.job()["status"] == "succeeded"
    assert Mailbox(post.infra.settings.mailbox_folder).messages() == []


def test_where_no_mail_is_sent_that_is_said(post):
    post.infra.settings = post.infra.settings.model_copy(update={"env": "production"})
    post.set(siteUrl="https://shop.example.org")
    with pytest.raises(AuthError) as refused:
        post.send()
    assert (refused.value.status, refused.value.code) == (422, "email_provider_disabled")
    assert post.rows() == []


def test_a_letter_that_could_forge_a_header_is_refused(post):
    with pytest.raises(AuthError):
        post.send(RenderedLetter("ann@example.org", "a\r\nBcc: eve@example.org", "<p></p>", "t", 60, ABOUT))
    assert post.rows() == []


def test_auths_login_posts_letters_of_projects_that_are_there_and_asks_for_nothing_else(post):
    with post.auth.database.autocommit() as tx:
        for statement in (
            "SELECT sealed FROM mail_outbox",
            "INSERT INTO jobs (id, kind, queue) VALUES ('job_' || repeat('0', 32), 'project.delete', 'control')",
            "UPDATE jobs SET status = 'queued'",
            "SELECT enqueue_job('j', 'k', 1::smallint, 'q', NULL, NULL, NULL, '{}', 0::smallint, false, true, false, 5::smallint, NULL, NULL, NULL, 'auth', NULL)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                tx.execute(statement)
    with post.infra.database.autocommit() as tx:
        secrets.delete_all(tx, post.id)
    with pytest.raises(Unavailable):
        post.send()


def test_letters_of_a_project_go_one_by_one_and_none_waits_behind_one_that_is_tried_again_later(post, own_server):
    post.set(**OWN, smtpUser="shop", smtpPassword="the mail password")
    own_server.sink.at_rcpt.append("451 come back")
    post.send()
    post.send()
    lanes = post.rows("SELECT DISTINCT lane FROM jobs WHERE kind = 'project.mail'")
    assert lanes == [{"lane": f"{post.id}/mail"}]
    post.work()
    first, second = (row["id"] for row in post.rows())
    taken = [str(message["Message-ID"]).strip("<").partition("@")[0] for message in own_server.sink.messages]
    assert taken in ([second], [second, first])


def test_letters_of_a_project_that_was_deleted_meanwhile_are_given_up(post):
    post.send()
    with post.infra.database.autocommit() as tx:
        secrets.delete_all(tx, post.id)
    post.work()
    assert "is gone" in post.job()["error"]["detail"]


def test_letters_are_counted_by_their_kind(post):
    post.send()
    post.send(VOID)
    counted = post.counts.registry.get_sample_value("launchdb_auth_mails_total", {"kind": "recovery"})
    assert counted == 1
