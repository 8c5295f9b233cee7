"""gpg as a filter: symmetric AES-256, the passphrase by file descriptor, no agent, nothing kept in its home.

What is written is what `gpg --decrypt` reads with the same passphrase (RFC 4880, integrity-protected packets).
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from infra import files
from infra.errors import Refused
from infra.pipeline import PIPE, SECRET, stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The keys are random: many rounds of key derivation would protect nothing and cost a tenth of a second each time.
DERIVATION = "65536"
QUIET = ("--no-options", "--batch", "--no-tty", "--quiet", "--no-autostart", "--no-random-seed-file")
KEYLESS = ("--no-default-keyring", "--no-keyring", "--pinentry-mode", "loopback", "--passphrase-fd", SECRET)


def is_installed() -> bool:
    """Return whether there is a gpg to be run."""
    return shutil.which("gpg") is not None


class Gpg:
    """The gpg program with a home folder that is ours alone.

    home  an empty folder, made when needed
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    @contextmanager
    def encrypting(self, key: str, target: IO[bytes]) -> Iterator[IO[bytes]]:
        """Lend the end to write plain bytes to; `target` has received the whole file when the body is over.

        Raises ProgramFailed (the disk is full, for one), Refused when gpg is missing.
        """
        argv = ["--symmetric", "--cipher-algo", "AES256", "--compress-algo", "none", "--s2k-count", DERIVATION]
        with self._stage(key, argv, stdin=PIPE, stdout=target) as (sink, _):
            yield sink

    @contextmanager
    def decrypting(self, key: str, source: IO[bytes], *, whole: bool = True) -> Iterator[IO[bytes]]:
        """Lend the end to read plain bytes from. They are known to be right only when the body is over.

        whole  whether everything is read; otherwise gpg is ended early

        Raises ProgramFailed for a wrong key and for a file that was changed, Refused when gpg is missing.
        """
        with self._stage(key, ["--decrypt"], stdin=source, stdout=PIPE, whole=whole) as (_, plain):
            yield plain

    @contextmanager
    def _stage(
        self, key: str, argv: list[str], *, stdin: int | IO[bytes], stdout: int | IO[bytes], whole: bool = True
    ) -> Iterator[tuple[Any, Any]]:
        program = shutil.which("gpg")
        if program is None:
            raise Refused("gpg is not installed; install the package gnupg")
        files.ensure_folder(self._home, mode=0o700)
        command: list[str | Path] = [program, "--homedir", self._home, *QUIET, *KEYLESS, *argv]
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        with stage(command, env=env, stdin=stdin, stdout=stdout, secret=key, whole=whole) as process:
            yield process.stdin, process.stdout
