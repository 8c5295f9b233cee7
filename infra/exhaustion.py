"""What this process itself has run out of: threads, memory, file descriptors. It is nobody else's absence.

Libraries report it as theirs: libpq and redis as a connection that fails, pools as a time-out. So whoever finds
something away asks here first; and a process that has nothing left for long ends, to be started again by whoever
watches it.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import re
import resource
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)
# As sysexits.h has it: another try, by another process, may succeed.
EXIT_STATUS = 75
# A moment's shortage passes with the requests that made it. One that lasts does not.
LOOK_SECONDS, LASTING_LOOKS = 2.0, 5
# As much as a thread's stack takes, and a connection or two.
MEMORY_BYTES = 16 << 20
DESCRIPTORS = 4
# Until a look's thread has ended.
JOIN_SECONDS = 1.0
_NUMBERS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
# Errors that come through these as text.
_CLIENTS = frozenset({"builtins", "psycopg", "psycopg_pool", "redis"})
_WORDS = (*(os.strerror(number) for number in _NUMBERS), "out of memory", "can't start new thread")
# What a server says of itself, which comes with no state while a session begins: its own lines, and the one that it
# sends when it cannot even fork.
_SERVERS = re.compile(r"\b(?:(?:FATAL|PANIC|ERROR|DETAIL|HINT|CONTEXT):|could not fork new process).*")
# The ancestor of redis' errors that are answers.
_ANSWER = "ResponseError"


def shortage(error: BaseException | None = None) -> str:
    """Return what this process has run out of and what an operator can do; "" when it has all it needs.

    error  what failed: that alone may tell of a shortage that has passed by now
    """
    found = _missing()
    if not found and error is not None and is_shortage(error):
        found = "threads, memory or file descriptors for a moment"
    return f"this process has run out of {found}" if found else ""


def is_shortage(error: BaseException) -> bool:
    """Return whether a failure tells of a shortage of this process."""
    return any(_tells(each) for each in _chain(error))


def is_lock_table_full(error: BaseException) -> bool:
    """Return whether Postgres has no lock left for anybody; 53200 alone may be a backend's own memory.

    What the driver says of a session that could not begin has no state.
    """
    return getattr(error, "sqlstate", "") in (None, "53200") and "out of shared memory" in str(error)


def watch_for_shortage() -> None:
    """End this process once it has been out of something for long. Call at the start, while there is a thread left."""
    threading.Thread(target=_watch, args=(_end,), name="exhaustion", daemon=True).start()


def start_thread(target: Callable[[], object], *, name: str) -> threading.Thread | None:
    """Start a thread that ends with the process; None when there is none left, and the caller does without."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        log.error("no thread", extra={"without": name, "reason": shortage()})  # noqa: TRY400 - the reason says it all
        return None
    return thread


@contextmanager
def end_process_on_shortage(what: str) -> Iterator[None]:
    """End this process, saying what it could not do, when the body fails for a shortage of ours.

    Raises what else the body raises. Threads that run already would keep a process alive that cannot work.
    """
    try:
        yield
    except Exception as error:
        if not is_shortage(error):
            raise
        with suppress(Exception):
            log.critical(what, extra={"reason": shortage(error)})
        os._exit(EXIT_STATUS)


def vital_thread(work: Callable[[], object]) -> Callable[[], None]:
    """Return `work` for a thread without which this process is of no use: it ends with the thread that fails."""

    def run() -> None:
        try:
            work()
        except BaseException:
            with suppress(Exception):
                log.critical("ending, to be started again: a thread that everything needs has failed", exc_info=True)
            os._exit(EXIT_STATUS)

    return run


def _watch(end: Callable[[str], None]) -> None:
    looks, said = 0, ""
    while True:
        time.sleep(LOOK_SECONDS)
        try:
            found = shortage()
        except Exception as error:  # noqa: BLE001 - there is not even enough to look
            found = f"this process has run out of what it takes to look ({type(error).__name__})"
        looks = looks + 1 if found else 0
        with suppress(Exception):  # whatever it takes to log may be what is missing
            if found and not said:
                log.error("exhausted", extra={"reason": found})
            elif said and not found:
                log.info("not exhausted any more")
        said = found
        if looks >= LASTING_LOOKS:
            end(found)


def _end(found: str) -> None:
    with suppress(Exception):
        log.critical("ending, to be started again", extra={"reason": found})
    os._exit(EXIT_STATUS)


def _missing() -> str:
    return _descriptors() or _memory() or _threads()


def _descriptors() -> str:
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(DESCRIPTORS))
    except OSError as error:
        if error.errno not in _NUMBERS:
            return ""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return (
            f"file descriptors (it may have {_shown(most)}): raise `ulimit -n`, LimitNOFILE= or the container's limit"
        )
    finally:
        for handle in opened:
            os.close(handle)
    return ""


def _memory() -> str:
    try:
        mmap.mmap(-1, MEMORY_BYTES).close()
    except (OSError, MemoryError, ValueError):
        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        megabytes = most if most < 0 else most >> 20
        return (
            f"memory (it may have {_shown(megabytes)} MB of addresses): "
            "raise `ulimit -v`, MemoryMax= or the container's limit, or run fewer threads"
        )
    return ""


def _threads() -> str:
    thread = threading.Thread(target=_nothing, name="look", daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        return (
            f"threads (its user may have {_shown(most)} of them and of processes, it has {threading.active_count()}): "
            "raise `ulimit -u`, TasksMax= or the container's limit of processes"
        )
    thread.join(JOIN_SECONDS)
    return ""


def _nothing() -> None:
    return


def _shown(most: int) -> str:
    return "any number" if most == resource.RLIM_INFINITY else str(most)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _tells(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _NUMBERS):
        return True
    # A server that has run out of something says so itself, with a state of its own.
    ours = type(error).__module__.split(".")[0] in _CLIENTS and getattr(error, "sqlstate", None) is None
    if not ours or any(known.__name__ == _ANSWER for known in type(error).__mro__):
        return False
    said = _SERVERS.sub("", str(error))
    return any(words in said for words in _WORDS)


def current_shortage() -> str:
    """Return shortage() of what is being handled now, if that is a failure of ours and no server's answer."""
    error = sys.exc_info()[1]
    if error is None or getattr(error, "sqlstate", None) is not None:
        return ""
    return shortage(error)
