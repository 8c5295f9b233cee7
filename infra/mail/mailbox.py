"""The mailbox of an installation without a mail server: a folder of messages, readable by its owner alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import SMTPUTF8
from typing import TYPE_CHECKING

from infra import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage
    from pathlib import Path

# Letters of a trial; the oldest make room.
MOST_LETTERS = 200
_ID = re.compile(r"mail_[0-9a-f]{32}")


@dataclass(frozen=True)
class ReceivedMail:
    """A message in the mailbox. at: RFC 5322, as it stands in the message."""

    id: str
    at: str
    to: str
    subject: str
    text: str


class Mailbox:
    """Keeps the newest messages, each in a file named after the Message-ID: delivered twice, it is there once."""

    name = "mailbox"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def deliver(self, message: EmailMessage, _to: str, _handing: Callable[[], None]) -> None:
        """Write the message into the mailbox. Raises Refused when the disk is full."""
        identity = str(message["Message-ID"]).strip("<>").partition("@")[0]
        files.ensure_folder(self._folder, mode=0o700)
        files.replace(self._folder / f"{identity}.eml", message.as_bytes())
        for old in self._paths()[MOST_LETTERS:]:
            old.unlink(missing_ok=True)

    def messages(self) -> list[ReceivedMail]:
        """Return the messages, newest first. Raises Refused for a folder that may not be read."""
        with files.translate_os_errors(self._folder):
            return [_read(path) for path in self._paths()]

    def find(self, identity: str) -> ReceivedMail | None:
        """Return a message by its id, or None. Raises Refused when it may not be read."""
        path = self._folder / f"{identity}.eml"
        with files.translate_os_errors(path):
            return _read(path) if _ID.fullmatch(identity) and path.exists() else None

    def _paths(self) -> list[Path]:
        """List the files; ids are ordered by time."""
        if not self._folder.exists():
            return []
        found = [path for path in self._folder.iterdir() if path.suffix == ".eml" and _ID.fullmatch(path.stem)]
        return sorted(found, key=lambda path: path.name, reverse=True)


def _read(path: Path) -> ReceivedMail:
    message = message_from_bytes(path.read_bytes(), policy=SMTPUTF8)
    body = message.get_body(("plain",))
    text = body.get_content().replace("\r\n", "\n") if body is not None else ""
    return ReceivedMail(path.stem, str(message["Date"]), str(message["To"]), str(message["Subject"]), text)
