"""Does something with many things, some at once, and tells of each in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from infra.backup.monitor import LOOK_SECONDS
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")
# While one waits for the disk, others work.
AT_ONCE = 4
AHEAD = 32


def in_order(things: Iterable[T], act: Callable[[T, Callable[[], None]], R], look: Callable[[], None]) -> Iterator[R]:
    """Return what becomes of each thing.

    act   given a thing, and what to call now and then: it raises once nobody waits any more
    look  called several times a second by whoever waits; what it raises ends all of it
    """
    ended = threading.Event()

    def check() -> None:
        if ended.is_set():
            raise Unavailable("it was ended before it was done")

    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            for thing in things:
                pending.append(threads.submit(act, thing, check))
                while pending and (len(pending) > AHEAD or pending[0].done()):
                    yield _waited(pending.popleft(), look)
            while pending:
                yield _waited(pending.popleft(), look)
        except BaseException:
            ended.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _waited(pending: Future[R], look: Callable[[], None]) -> R:
    while not wait([pending], LOOK_SECONDS).done:
        look()
    look()
    return pending.result()
