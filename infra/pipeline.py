"""The only place that starts other programs: argument lists, own process groups, every exit status checked."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from infra.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Loaded before any fork: the child may call into it, but must not load anything.
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
TAIL_CHARACTERS = 2000
PIPE = subprocess.PIPE


class Failed(Refused):
    """A program ended with another exit status than 0. `status` is negative for a signal."""

    def __init__(self, program: str, status: int, said: str) -> None:
        super().__init__(f"{program} ended with exit status {status}: {said[-TAIL_CHARACTERS:].strip()}")
        self.status = status
        self.said = said


@dataclass(frozen=True)
class Account:
    """Whom a program runs as."""

    uid: int
    gid: int


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel send `number` to this process when its parent dies, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def spawn(  # noqa: PLR0913 - as many as the system's own call has
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    cwd: Path | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    death_signal: int | None = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own. Call from the thread that outlives it.

    It gets `death_signal` when that thread ends; None lets it live on. Raises Refused when it cannot be started.
    """
    identity: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    try:
        process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - an argument list of our own, no shell
            [str(part) for part in argv],
            env=dict(env) if env is not None else None,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=_bound_to(os.getpid(), death_signal) if death_signal else None,  # noqa: PLW1509 - one prctl
            **identity,
        )
    except OSError as error:
        raise Refused(f"{argv[0]} cannot be started: {error.strerror}") from error
    return process


def run(
    argv: Sequence[str | Path],
    *,
    timeout_seconds: float,
    feed: bytes = b"",
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program to its end; return what it printed. Its whole group is gone afterwards.

    Secrets go in by `feed` (standard input) or `env`, never by `argv`.
    Raises Failed for an exit status other than 0, Unavailable when the time is over.
    """
    with spawn(argv, env=env, account=account, cwd=cwd, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        try:
            out, err = process.communicate(feed, timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{argv[0]} did not end within {timeout_seconds:g} s") from error
        finally:
            end_group(process, signal.SIGKILL)
    if process.returncode != 0:
        raise Failed(Path(argv[0]).name, process.returncode, err.decode(errors="replace"))
    return out.decode(errors="replace")


def end_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the process and all it has started; nothing happens when they are gone."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _bound_to(parent: int, number: int) -> Callable[[], None]:
    def bind() -> None:
        die_with_parent(number)
        if os.getppid() != parent:  # it died between the fork and the call above
            os.kill(os.getpid(), signal.SIGKILL)

    return bind
