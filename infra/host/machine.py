"""What is run on the machine itself: git, and what builds images.

This process runs it, or, where that is in the image of the host commands, the shell that has put it there: it is told
the words of a command and runs them as they are. Nothing of them is parsed as a shell's own text, and none is a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from config.installation import program_environment
from infra import pipeline
from infra.errors import Refused, Unavailable
from infra.pipeline import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 300.0


class Machine(Protocol):
    """Who runs commands on the machine. Both raise ProgramFailed (exit status not 0) or Unavailable."""

    def run(self, *words: str) -> str:
        """Run a command to its end; return what it printed."""

    def follow(self, *words: str, tell: Callable[[str], None]) -> None:
        """Run a command to its end; what it prints is told to the operator as it comes."""


@dataclass(frozen=True)
class ThisProcess:
    """Runs commands by itself."""

    folder: Path

    def run(self, *words: str) -> str:
        """Run a command to its end; return what it printed."""
        return pipeline.run(words, timeout_seconds=PATIENCE_SECONDS, env=program_environment(), cwd=self.folder)

    def follow(self, *words: str, tell: Callable[[str], None]) -> None:
        """Run a command to its end; what it prints is told as it comes."""
        pipeline.follow(words, tell, env=program_environment(), cwd=self.folder)


@dataclass(frozen=True)
class ShellOutside:
    """Has commands run by the shell outside: `serve` in scripts/host.sh reads what it is asked, and tells how it ended.

    A request is a line with the verb and how many words there are, and a line for each word. An answer is a line with
    the exit status and how many lines were printed, and these lines.
    """

    asked: IO[bytes]
    told: IO[bytes]

    def run(self, *words: str) -> str:
        """Run a command to its end; return what it printed."""
        self._ask("run", words)
        return self._answer(words[0])

    def follow(self, *words: str, tell: Callable[[str], None]) -> None:  # noqa: ARG002 - the shell itself shows it
        """Run a command to its end; the shell shows what it prints."""
        self._ask("follow", words)
        self._answer(words[0])

    def become(self, *words: str) -> None:
        """Ask the shell to run a host command once we have ended: the image's version, then the command's words."""
        self._ask("become", words)

    def _ask(self, verb: str, words: tuple[str, ...]) -> None:
        # A line each: that is all that takes a word apart from the next.
        if wrong := [word for word in words if "\n" in word or "\0" in word]:
            raise Refused(f"{wrong[0]!r} is no word for a command")
        try:
            self.asked.write("".join(f"{line}\n" for line in (f"{verb} {len(words)}", *words)).encode())
            self.asked.flush()
        except OSError as error:
            raise Unavailable("the shell outside, which runs commands on the machine, is gone") from error

    def _answer(self, program: str) -> str:
        head = self.told.readline().split()
        if len(head) != 2:
            raise Unavailable("the shell outside, which runs commands on the machine, is gone")
        said = b"".join(self.told.readline() for _ in range(int(head[1]))).decode(errors="replace")
        if int(head[0]):
            raise ProgramFailed(Path(program).name, int(head[0]), said)
        return said
