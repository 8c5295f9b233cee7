"""Mail: letters that cannot be misread, the SMTP server that takes them, and a mailbox where there is none."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from typing import TYPE_CHECKING, Protocol

from config.logging import hide_values
from infra.errors import Refused, Unavailable
from infra.mail.mailbox import Mailbox
from infra.secrets import secretfiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from config.settings import Settings

    # Host, port and seconds become a connection.
    Dial = Callable[[str, int, float], socket.socket]

PASSWORD_FILE = "SMTP_PASSWORD"  # noqa: S105 - the name of a secret
# For each answer of the server, and for all of it: one that drips its answers does not hold a worker.
ANSWER_SECONDS, LONGEST_SECONDS, FAREWELL_SECONDS = 20.0, 120.0, 2.0
LONGEST_SUBJECT, LONGEST_NAME, LONGEST_TEXT = 200, 100, 100_000
_ADDRESS = re.compile(r"[^\s@\x00-\x20\x7f\"(),:;<>\[\\\]]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_LOOPBACK = re.compile(r"localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1", re.ASCII)


class DeliveryInDoubt(Unavailable):
    """The connection was lost after the letter had been handed over: the server may have taken it or not."""


@dataclass(frozen=True)
class Email:
    """What is to be mailed. name: of the addressee, may be empty; html: the text in another form, may be empty."""

    to: str
    subject: str
    text: str
    name: str = ""
    html: str = ""


class MailTransport(Protocol):
    """Whoever takes letters."""

    @property
    def name(self) -> str:
        """What people know it by."""

    def deliver(self, message: EmailMessage, to: str, handing: Callable[[], None]) -> None:
        """Deliver the message. handing: called right before it may be taken.

        Raises DeliveryInDoubt when it may have been taken, Unavailable when trying again may help, else Refused.
        """


def transport_of(settings: Settings) -> MailTransport | None:
    """Return what carries the mail of this installation, or None where mail is off."""
    if settings.mail == "smtp":
        return SmtpServer(settings)
    return Mailbox(settings.mailbox_folder) if settings.mail == "mailbox" else None


def check_email(letter: Email) -> None:
    """Raise Refused for a letter with an address that is none, or with anything that could forge a header."""
    if len(letter.to) > 254 or _ADDRESS.fullmatch(letter.to) is None or not letter.to.isprintable():
        raise Refused("this is not an e-mail address")
    for what, text, longest in (("name", letter.name, LONGEST_NAME), ("subject", letter.subject, LONGEST_SUBJECT)):
        if not text.isprintable() or len(text) > longest:
            raise Refused(f"the {what} of a mail must be printable, on one line, and at most {longest} characters")
    if any("\0" in body or len(body) > LONGEST_TEXT for body in (letter.text, letter.html)):
        raise Refused(f"the text of a mail must be at most {LONGEST_TEXT} characters, none of them U+0000")


def to_message(letter: Email, *, sender: str, identity: str, at: datetime, sender_name: str = "") -> EmailMessage:
    """Return the letter as a message, the same one each time. Raises Refused.

    sender       the address that it comes from
    identity     makes its Message-ID, by which a reader's program knows a second copy
    sender_name  shown beside the address
    """
    check_email(letter)
    made = EmailMessage(policy=SMTP if letter.to.isascii() else SMTPUTF8)
    user, _, domain = letter.to.rpartition("@")
    try:
        made["From"] = Address(display_name=sender_name, addr_spec=sender)
        made["To"] = Address(display_name=letter.name, username=user, domain=domain)
        made["Subject"] = letter.subject
        made["Date"] = at
        made["Message-ID"] = f"<{identity}@{sender.rpartition('@')[2].rstrip('>')}>"
        made["Auto-Submitted"] = "auto-generated"
        made.set_content(letter.text, cte="quoted-printable")
        if letter.html:
            made.add_alternative(letter.html, subtype="html", cte="quoted-printable")
        made.as_bytes()
    except (MessageError, ValueError, IndexError) as error:
        raise Refused("this mail cannot be written: its address or a header is malformed") from error
    return made


class _Dialled(smtplib.SMTP):
    """A connection that begins as whoever makes it says."""

    def __init__(self, host: str, port: int, domain: str, seconds: float, dial: Dial | None) -> None:
        self._dial = dial
        super().__init__(host, port, domain, timeout=seconds)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made: socket.socket = (self._dial or _connect)(host, port, timeout)
        made.settimeout(timeout)
        return made


class _DialledOverTls(_Dialled):
    """The same, with TLS from the first byte on."""

    def __init__(
        self, host: str, port: int, domain: str, seconds: float, context: ssl.SSLContext, dial: Dial | None
    ) -> None:
        self._context = context
        super().__init__(host, port, domain, seconds, dial)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._context.wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    return socket.create_connection((host, port), timeout)


class SmtpServer:
    """An SMTP server: TLS from the beginning on port 465, STARTTLS elsewhere, neither only on this machine."""

    def __init__(
        self,
        settings: Settings,
        *,
        password: str | None = None,
        dial: Dial | None = None,
        seconds: float | None = None,
    ) -> None:
        """Name the server.

        password  to be tried instead of the one in force
        dial      connects to it; None: whatever its address is. Raises Refused, Unavailable
        seconds   for all that is said to it; None: two minutes
        """
        self._settings = settings
        self._tried, self._dial, self._seconds = password, dial, seconds or LONGEST_SECONDS
        hide_values(password or "")
        hide_values(settings.smtp_password.get_secret_value())
        self._implicit = settings.smtp_tls == "implicit" or (settings.smtp_tls == "auto" and settings.smtp_port == 465)
        # Nobody between us and ourselves can read or strip anything.
        self._may_be_plain = settings.smtp_tls == "auto" and _LOOPBACK.fullmatch(settings.smtp_host) is not None

    @property
    def name(self) -> str:
        """Host and port."""
        return f"{self._settings.smtp_host}:{self._settings.smtp_port}"

    def deliver(self, message: EmailMessage, to: str, handing: Callable[[], None]) -> None:
        """Hand the message to the server. Raises DeliveryInDoubt, Unavailable for its 4xx, Refused for its 5xx."""
        handed = threading.Event()
        with _translated(handed), self._session() as smtp:
            international = [] if to.isascii() else ["SMTPUTF8"]
            if international and not smtp.has_extn("smtputf8"):
                raise Refused("the mail server takes no addresses with such characters")
            sender = message["From"].addresses[0].addr_spec
            _demand(smtp.mail(sender, international))
            _demand(smtp.rcpt(to))
            handing()
            handed.set()
            _demand(smtp.data(message.as_bytes()))

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        smtp = self._connected()
        alarm = threading.Timer(self._seconds, _hang_up, (smtp,))
        alarm.daemon = True
        alarm.start()
        try:
            self._secured(smtp)
            yield smtp
        finally:
            alarm.cancel()
            # What it says of our farewell changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                if smtp.sock is not None:
                    smtp.sock.settimeout(FAREWELL_SECONDS)
                smtp.quit()
            smtp.close()

    def _connected(self) -> smtplib.SMTP:
        known, domain = self._settings, self._settings.smtp_from.rpartition("@")[2].rstrip(">")
        seconds = min(ANSWER_SECONDS, self._seconds)
        if self._implicit:
            return _DialledOverTls(known.smtp_host, known.smtp_port, domain, seconds, self._context(), self._dial)
        return _Dialled(known.smtp_host, known.smtp_port, domain, seconds, self._dial)

    def _secured(self, smtp: smtplib.SMTP) -> None:
        smtp.ehlo_or_helo_if_needed()
        if not self._implicit and (smtp.has_extn("starttls") or not self._may_be_plain):
            _demand(smtp.starttls(context=self._context()))
            smtp.ehlo()
        if self._settings.smtp_user:
            smtp.login(self._settings.smtp_user, self._password())

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=(self._settings.smtp_ca_file or None))
            if self._dial is not None and self._settings.smtp_ca_file:
                context.load_default_certs()  # a tenant's server is known to the system, or one of the operator's
        except (OSError, ssl.SSLError) as error:
            raise Refused("SMTP_CA_FILE cannot be read, or holds no certificate") from error
        return context

    def _password(self) -> str:
        """Read it each time, so that a rotation restarts nothing: the secret's file, or else the setting."""
        if self._tried is not None:
            return self._tried
        folder = self._settings.secrets_folder
        file = folder / PASSWORD_FILE
        if file.exists():
            if file.stat().st_mode & 0o077:
                raise Refused("the secret SMTP_PASSWORD can be read by others")
            return secretfiles.current(folder, PASSWORD_FILE)
        return self._settings.smtp_password.get_secret_value()


def _hang_up(smtp: smtplib.SMTP) -> None:
    """End what waits for the socket; a TLS socket is shut down below its TLS, which another thread is reading."""
    with suppress(OSError):
        if smtp.sock is not None:
            socket.socket.shutdown(smtp.sock, socket.SHUT_RDWR)


def _demand(answer: tuple[int, bytes]) -> None:
    """Raise what the server's answer means unless it is a yes."""
    code, text = answer
    if not 200 <= code < 300:
        raise smtplib.SMTPResponseException(code, text)


@contextmanager
def _translated(handed: threading.Event) -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPResponseException as error:
        said = f"the mail server answered {_said(error)}"
        raise (Refused if 500 <= error.smtp_code < 600 else Unavailable)(said) from error
    except smtplib.SMTPNotSupportedError as error:
        raise Refused("the mail server offers no STARTTLS, or no way to sign in that we know") from error
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"the mail server's certificate is not trusted: {error.verify_message}") from error
    except (smtplib.SMTPException, OSError) as error:
        if handed.is_set():
            raise DeliveryInDoubt(
                "the connection was lost before the mail server said whether it took the mail"
            ) from error
        raise Unavailable(f"the mail server cannot be reached ({type(error).__name__})", dependency="mail") from error


def _said(error: smtplib.SMTPResponseException) -> str:
    """Return code and words of an answer, without addresses and what could steer a terminal."""
    raw = error.smtp_error
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    words = [word for word in re.split(r"\s+", text) if "@" not in word]
    plain = "".join(character for character in " ".join(words) if character.isprintable())
    return f"{error.smtp_code} {plain[:200]}".strip()
