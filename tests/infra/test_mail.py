"""Letters to a real SMTP server with TLS: what is taken, what is tried again, what is refused, and what no header forges."""

from __future__ import annotations

import socket
import stat
import time
from datetime import UTC, datetime

import pytest

from config.logging import scrub
from config.settings import SettingsError, load
from infra.errors import Refused, Unavailable
from infra.mail import mail
from infra.mail.mail import DeliveryInDoubt, Email
from infra.mail.mailbox import MOST_LETTERS, Mailbox

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IDENTITY = "mail_" + "0" * 31
LETTER = Email("ann@example.org", "Grüße", "Zeile eins\n.\n..zwei\n", "Ann Ö.")


def settings_of(running, tmp_path, **more):
    return load({"LAUNCHDB_HOME": str(tmp_path / "home"), **running.environment, **more})


def send(settings, letter=LETTER, identity=IDENTITY + "1", handing=lambda: None):
    carrier = mail.transport_of(settings)
    made = mail.to_message(letter, sender=settings.smtp_from, identity=identity, at=AT)
    carrier.deliver(made, letter.to, handing)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_letter_arrives_encrypted_and_whole(smtp, tmp_path, tls):
    running = smtp.start(tls=tls)
    send(settings_of(running, tmp_path))
    [message] = running.sink.messages
    assert running.sink.encrypted == [True]
    assert running.sink.envelopes == [("launchdb@sender.test", ["ann@example.org"])]
    assert message["Subject"] == "Grüße"
    assert message["To"].addresses[0].display_name == "Ann Ö."
    assert message["Message-ID"] == f"<{IDENTITY}1@sender.test>"
    assert message["Date"].datetime == AT
    assert message.get_content() == LETTER.text.replace("\n", "\r\n") or message.get_content() == LETTER.text


def test_a_server_on_this_machine_may_be_plain_and_no_other_may(smtp, tmp_path):
    running = smtp.start(tls="none")
    send(settings_of(running, tmp_path))
    assert running.sink.encrypted == [False]
    with pytest.raises(Refused, match="STARTTLS"):
        send(settings_of(running, tmp_path, SMTP_TLS="starttls"))
    assert len(running.sink.messages) == 1


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(smtp, tmp_path, tls):
    running = smtp.start(tls=tls)
    with pytest.raises(Refused, match="certificate is not trusted"):
        send(settings_of(running, tmp_path, SMTP_CA_FILE=""))
    with pytest.raises(Refused, match="SMTP_CA_FILE"):
        send(settings_of(running, tmp_path, SMTP_CA_FILE=str(tmp_path / "none.pem")))
    assert running.sink.messages == []


def test_the_certificate_must_be_for_the_host(smtp, tmp_path):
    running = smtp.start()
    with pytest.raises(Refused, match="certificate is not trusted"):
        send(settings_of(running, tmp_path, SMTP_HOST="localhost"))


def test_the_password_is_read_from_its_file_each_time(smtp, tmp_path):
    running = smtp.start(auth_required=True)
    settings = settings_of(running, tmp_path, SMTP_USER="launchdb", SMTP_PASSWORD="the mail password")
    send(settings)
    settings.secrets_folder.mkdir(parents=True)
    file = settings.secrets_folder / "SMTP_PASSWORD"
    file.write_text("a wrong password\n")
    with pytest.raises(Refused, match="read by others"):
        send(settings)
    file.chmod(0o600)
    with pytest.raises(Refused, match="535") as refused:
        send(settings)
    assert "wrong password" not in str(refused.value)
    file.unlink()
    file.write_text("the mail password\n")
    file.chmod(0o600)
    send(settings)
    assert len(running.sink.messages) == 2
    assert "the mail password" not in repr(settings)
    assert "the mail password" not in scrub("login as launchdb with the mail password")


@pytest.mark.parametrize("stage", ["at_rcpt", "at_data"])
@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        ("451 4.7.1 come back later", Unavailable),
        ("450 greylisted", Unavailable),
        ("550 5.1.1 no such user ann@example.org", Refused),
        ("554 no\x1b[31m thanks", Refused),
    ],
)
def test_a_four_may_be_tried_again_and_a_five_may_not(smtp, tmp_path, stage, answer, raised):
    running = smtp.start()
    getattr(running.sink, stage).append(answer)
    handed = []
    with pytest.raises(raised) as error:
        send(settings_of(running, tmp_path), handing=lambda: handed.append(True))
    assert not isinstance(error.value, DeliveryInDoubt)
    assert answer[:3] in str(error.value)
    assert "ann@example.org" not in str(error.value)
    assert str(error.value).isprintable()
    assert handed == ([] if stage == "at_rcpt" else [True])
    assert running.sink.messages == []
    send(settings_of(running, tmp_path))
    assert len(running.sink.messages) == 1


def test_a_lost_connection_is_in_doubt_only_once_the_letter_was_handed_over(smtp, tmp_path):
    running = smtp.start()
    running.sink.at_rcpt.append("hang up")
    with pytest.raises(Unavailable) as early:
        send(settings_of(running, tmp_path))
    running.sink.at_data.append("hang up")
    with pytest.raises(DeliveryInDoubt):
        send(settings_of(running, tmp_path))
    assert not isinstance(early.value, DeliveryInDoubt)


@pytest.mark.timing
@pytest.mark.parametrize(("stage", "raised"), [("at_rcpt", Unavailable), ("at_data", DeliveryInDoubt)])
def test_a_server_that_hangs_is_left(smtp, tmp_path, monkeypatch, stage, raised):
    monkeypatch.setattr(mail, "ANSWER_SECONDS", 0.5)
    running = smtp.start()
    getattr(running.sink, stage).append("hang")
    started = time.monotonic()
    with pytest.raises(raised):
        send(settings_of(running, tmp_path))
    assert time.monotonic() - started < 10


@pytest.mark.timing
@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_server_that_takes_for_ever_is_left_whatever_it_says_meanwhile(smtp, tmp_path, monkeypatch, tls):
    monkeypatch.setattr(mail, "LONGEST_SECONDS", 1.0)
    running = smtp.start(tls=tls)
    running.sink.at_data.append("hang")
    started = time.monotonic()
    with pytest.raises(DeliveryInDoubt):
        send(settings_of(running, tmp_path))
    assert time.monotonic() - started < 10


@pytest.mark.timing
@pytest.mark.parametrize("tls", ["auto", "implicit"])
def test_a_server_that_never_greets_is_left(tmp_path, monkeypatch, tls):
    monkeypatch.setattr(mail, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        known = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(silent.getsockname()[1]), "SMTP_FROM": "a@sender.test"}
        settings = load({"LAUNCHDB_HOME": str(tmp_path), **known, "SMTP_TLS": tls})
        started = time.monotonic()
        with pytest.raises(Unavailable, match="cannot be reached"):
            send(settings)
        assert time.monotonic() - started < 10


def test_a_server_that_is_not_there_is_unavailable(smtp, tmp_path, unused_tcp_port):
    running = smtp.start()
    with pytest.raises(Unavailable, match="cannot be reached"):
        send(settings_of(running, tmp_path, SMTP_PORT=str(unused_tcp_port)))


@pytest.fixture
def unused_tcp_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    "letter",
    [
        Email("ann@example.org\r\nBcc: eve@example.org", "s", "t"),
        Email("ann@example.org\n", "s", "t"),
        Email("ann@example.org\0", "s", "t"),
        Email("ann@example.org, eve@example.org", "s", "t"),
        Email("<ann@example.org> SIZE=1", "s", "t"),
        Email('"a b"@example.org', "s", "t"),
        Email("ann", "s", "t"),
        Email("", "s", "t"),
        Email("ann@exa mple.org", "s", "t"),
        Email("ann@example.org>", "s", "t"),
        Email("a\u202enn@example.org", "s", "t"),
        Email("a" * 65 + "@example.org", "s", "t"),
        Email("ann@" + "e" * 300, "s", "t"),
        Email("ann@example.org", "s\r\nBcc: eve@example.org", "t"),
        Email("ann@example.org", "s\0", "t"),
        Email("ann@example.org", "s" * 201, "t"),
        Email("ann@example.org", "s", "t", "Ann\r\nBcc: eve@example.org"),
        Email("ann@example.org", "s", "t", "Ann\0"),
        Email("ann@example.org", "s", "t", "Ann\u2028"),
        Email("ann@example.org", "s", "t\0"),
        Email("ann@example.org", "s", "t" * 100_001),
    ],
)
def test_nothing_in_a_letter_forges_a_header(letter):
    with pytest.raises(Refused):
        mail.check_email(letter)
    with pytest.raises(Refused):
        mail.to_message(letter, sender="launchdb@sender.test", identity=IDENTITY, at=AT)


def test_what_looks_like_a_header_stays_text(smtp, tmp_path):
    running = smtp.start()
    letter = Email("ann@example.org", "Bcc: eve@example.org", "Bcc: eve\r\n.\r\nMAIL FROM:<x@y.z>\n", 'Eve" <e@x.org>')
    send(settings_of(running, tmp_path), letter)
    [message] = running.sink.messages
    assert message["Bcc"] is None
    assert [address.addr_spec for address in message["To"].addresses] == ["ann@example.org"]
    assert "MAIL FROM:<x@y.z>" in message.get_content()
    assert running.sink.envelopes[0][1] == ["ann@example.org"]


def test_an_address_beyond_ascii_goes_where_the_server_takes_it(smtp, tmp_path):
    letter = Email("jürgen@example.org", "s", "t")
    running = smtp.start(enable_SMTPUTF8=True)
    send(settings_of(running, tmp_path), letter)
    assert running.sink.envelopes[0][1] == ["jürgen@example.org"]
    other = smtp.start()
    with pytest.raises(Refused, match="such characters"):
        send(settings_of(other, tmp_path), letter)


def test_a_mailbox_keeps_a_letter_once_for_its_owner_alone_and_makes_room(tmp_path):
    box = Mailbox(tmp_path / "mailbox")
    for number in range(MOST_LETTERS + 3):
        made = mail.to_message(LETTER, sender="a@b.test", identity=f"mail_{number:032x}", at=AT)
        for _ in range(2):
            box.deliver(made, LETTER.to, lambda: None)
    found = box.messages()
    assert [letter.id for letter in (found[0], found[-1])] == [f"mail_{MOST_LETTERS + 2:032x}", f"mail_{3:032x}"]
    assert len(found) == MOST_LETTERS
    assert box.find(found[0].id).text.splitlines() == LETTER.text.splitlines()
    assert box.find("../../etc/passwd") is None
    assert stat.S_IMODE((tmp_path / "mailbox").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "mailbox").iterdir()} == {0o600}


def test_where_mail_goes_is_told_by_the_settings(tmp_path):
    home = {"LAUNCHDB_HOME": str(tmp_path)}
    assert load(home).mail == "mailbox"
    assert load({**home, "LAUNCHDB_ENV": "production"}).mail == "off"
    assert mail.transport_of(load({**home, "LAUNCHDB_ENV": "production"})) is None
    known = {"SMTP_HOST": "smtp.example.org", "SMTP_FROM": "a@example.org"}
    assert load({**home, **known, "LAUNCHDB_ENV": "production"}).mail == "smtp"
    assert mail.transport_of(load({**home, **known})).name == "smtp.example.org:587"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_FROM", "a@b\nBcc: x@y"),
        ("SMTP_FROM", "A <a@b.test>"),
        ("SMTP_FROM", "a"),
        ("SMTP_PORT", "0"),
        ("MAILS_PER_HOUR", "0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_the_start(tmp_path, name, value):
    with pytest.raises(SettingsError):
        load({"LAUNCHDB_HOME": str(tmp_path), name: value})


def test_a_mail_server_needs_a_sender(tmp_path):
    with pytest.raises(SettingsError, match="SMTP_FROM"):
        load({"LAUNCHDB_HOME": str(tmp_path), "SMTP_HOST": "smtp.example.org"})
