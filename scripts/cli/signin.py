"""The context file: what `login` remembers in the user's configuration folder."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from scripts.cli.errors import USAGE, CliError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class StoredSignIn:
    """An installation and the tokens that it gave."""

    url: str
    email: str = ""
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)


class ContextFile:
    """The file, 0600 in a folder of the user's own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> StoredSignIn | None:
        """Return what is remembered; None when nothing is. Raises CliError for a file that others can read."""
        try:
            if self.path.stat().st_mode & 0o077:
                raise CliError(f"{self.path} can be read by others; run `chmod 600` on it and sign in again", USAGE)
            known = json.loads(self.path.read_text())
            members = ("url", "email", "access_token", "refresh_token")
            return StoredSignIn(**{name: str(known.get(name, "")) for name in members})
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, AttributeError):
            raise CliError(f"{self.path} is damaged; sign in again with `launchdb login`", USAGE) from None

    def write(self, sign_in: StoredSignIn) -> None:
        """Replace what is remembered, at once; at no moment can anybody else read it."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(asdict(sign_in), out)
        fresh.replace(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Allow one command at a time to renew the tokens: a refresh token used twice ends the sign-in."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        with os.fdopen(os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600), "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
