"""The only place that starts other programs: argument lists, own process groups, every exit status checked."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from infra.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Loaded before any fork: the child may call into it, but must not load anything.
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
TAIL_CHARACTERS = 2000
PIPE = subprocess.PIPE
SECRET = "<secret>"  # noqa: S105 - the place of one
# How long a program that has closed its input may take to say why.
PATIENCE_SECONDS = 30.0
# How soon one whose output has ended is known to have ended, too.
SOON_SECONDS = 0.2


class ProgramFailed(Refused):
    """A program ended with another exit status than 0."""

    def __init__(self, program: str, status: int, said: str) -> None:
        super().__init__(f"{program} ended with exit status {status}: {said[-TAIL_CHARACTERS:].strip()}")
        self.status = status
        self.said = said


class ProgramKilled(Unavailable):
    """A program was ended by a signal: nothing is said about what it was given, and another try may succeed."""

    def __init__(self, program: str, number: int) -> None:
        super().__init__(f"{program} was ended by signal {number}")


def _check(program: str | Path, status: int, said: str) -> None:
    """Raise ProgramFailed, or ProgramKilled, unless a program has ended well."""
    if status < 0:
        raise ProgramKilled(Path(program).name, -status)
    if status != 0:
        raise ProgramFailed(Path(program).name, status, said)


@dataclass(frozen=True)
class Account:
    """Whom a program runs as."""

    uid: int
    gid: int


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send `number` to this process when its parent dies, however that happens."""
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
    handles: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own. Call from the thread that outlives it.

    It gets `death_signal` when that thread ends; None lets it live on. `handles` are open files that it inherits
    under their numbers. Raises Refused when it cannot be started, Unavailable when that takes more than this machine or
    process has left.
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
            pass_fds=tuple(handles),
            preexec_fn=_bound_to(os.getpid(), death_signal) if death_signal else None,  # noqa: PLW1509 - one prctl
            **identity,
        )
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise Unavailable(f"{argv[0]} cannot be started now: {error.strerror}") from error
        raise Refused(f"{argv[0]} cannot be started: {error.strerror}") from error
    return process


def run(  # noqa: PLR0913 - as many as a program has surroundings
    argv: Sequence[str | Path],
    *,
    timeout_seconds: float,
    feed: bytes = b"",
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    cwd: Path | None = None,
    merged: bool = False,
) -> str:
    """Run a program to its end; return what it printed. Its whole group is gone afterwards.

    merged  what it says on standard error belongs to what it prints

    Secrets go in by `feed` (standard input) or `env`, never by `argv`.
    Raises ProgramFailed for an exit status other than 0, Unavailable when the time is over, ProgramKilled.
    """
    stderr = subprocess.STDOUT if merged else PIPE
    with spawn(argv, env=env, account=account, cwd=cwd, stdin=PIPE, stdout=PIPE, stderr=stderr) as process:
        try:
            out, err = process.communicate(feed, timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{argv[0]} did not end within {timeout_seconds:g} s") from error
        finally:
            end_group(process, signal.SIGKILL)
    _check(argv[0], process.returncode, (err or out).decode(errors="replace"))
    return out.decode(errors="replace")


def follow(
    argv: Sequence[str | Path],
    tell: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a program to its end and tell each line that it prints, on either output, as it comes.

    Raises ProgramFailed, with its last lines, for an exit status other than 0, and ProgramKilled.
    """
    said: deque[str] = deque(maxlen=20)
    with spawn(argv, env=env, cwd=cwd, stdout=PIPE, stderr=subprocess.STDOUT) as process:
        try:
            for raw in process.stdout or ():
                line = raw.decode(errors="replace").rstrip()
                said.append(line)
                tell(line)
            process.wait()
        finally:
            end_group(process, signal.SIGTERM if process.poll() is None else signal.SIGKILL)
    _check(argv[0], process.returncode, "\n".join(said))


def exec_program(argv: Sequence[str | Path], env: Mapping[str, str]) -> NoReturn:
    """Replace this process by another program: terminal, signals and exit status are its own. Raises Refused."""
    try:
        os.execvpe(argv[0], [str(part) for part in argv], dict(env))  # noqa: S606 - an argument list of our own
    except OSError as error:
        raise Refused(f"{argv[0]} cannot be started: {error.strerror}") from error


@contextmanager
def stage(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    secret: str = "",
    whole: bool = True,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program as one stage of a pipe while the body reads or writes its end; its group is gone afterwards.

    secret  goes in as a file in memory: SECRET in `argv` and `env` stands for its number
    whole   whether the program has to come to its end by itself

    Raises ProgramFailed for an exit status other than 0, and ProgramKilled: also when that is why the body could not
    go on.
    """
    said, held = _in_memory("said"), _in_memory("secret", secret.encode())
    number = str(held)
    argv = [str(part).replace(SECRET, number) for part in argv]
    env = {name: value.replace(SECRET, number) for name, value in (env or {}).items()}
    try:
        process = spawn(argv, env=env, stdin=stdin, stdout=stdout, stderr=said, handles=(held,))
        try:
            with _explained(process, argv[0]):
                yield process
                if process.stdin is not None:
                    process.stdin.close()
            if whole:
                process.wait()
        finally:
            _end(process)
        if whole:
            _check(argv[0], process.returncode, _text(said))
    finally:
        os.close(said)
        os.close(held)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a stage with its whole group, and close its ends of the pipeline."""
    end_group(process, signal.SIGKILL)
    process.wait()
    for end in (process.stdin, process.stdout):
        with suppress(OSError):
            if end is not None:
                end.close()


@contextmanager
def _explained(process: subprocess.Popen[bytes], program: str | Path) -> Iterator[None]:
    """Raise what a program says of why the body could not go on; ProgramKilled where a signal is why."""
    try:
        yield
    except BrokenPipeError:
        process.wait(PATIENCE_SECONDS)
    except Refused as error:
        with suppress(subprocess.TimeoutExpired):
            process.wait(SOON_SECONDS)
        if process.returncode is not None and process.returncode < 0:
            # What was read breaks off where the program did: that is no fault of the file's.
            raise ProgramKilled(Path(program).name, -process.returncode) from error
        raise


def _in_memory(name: str, content: bytes = b"") -> int:
    handle = os.memfd_create(name)
    os.fchmod(handle, 0o600)  # libpq reads no password file that others may read
    os.write(handle, content)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _text(handle: int) -> str:
    return os.pread(handle, 1 << 20, 0).decode(errors="replace")


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
