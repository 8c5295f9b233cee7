"""Projects that a service does not serve now: one that sleeps is woken by who means it, others are what they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeVar

from app.data.errors import PgrstError
from catalog.project_states import AWAY, REACHABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.serve.unserved import UnservedRequest

P = TypeVar("P")
# Until what was just opened has its file: whoever has woken it may have seen its data API first.
SETTLE_SECONDS, LOOK_SECONDS = 1.0, 0.025


class NotServed(Exception):
    """Nobody serves the project now.

    status         of HTTP; 401: it sleeps, and who asks shows no key that would wake it
    retry_seconds  when to ask again, or None
    hint           what the caller might do, or None
    """

    def __init__(self, status: int, message: str, retry_seconds: int | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_seconds, self.hint = status, retry_seconds, hint

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of an answer that says so."""
        return (("Retry-After", str(self.retry_seconds)),) if self.retry_seconds else ()


class AbsentProjects(Generic[P]):
    """Waits for projects that come to be served.

    find       finds a project that is served
    status_of  a project's state as clients may know it; None when there is no such project
    wait       waits until a project serves (second: whether it does), if the request may wake it, and says whether
    """

    def __init__(
        self,
        find: Callable[[str], P | None],
        status_of: Callable[[str], str | None],
        wait: Callable[[UnservedRequest, Callable[[], bool]], bool],
    ) -> None:
        self._find, self._status_of, self._wait = find, status_of, wait

    def awaited(self, asked: UnservedRequest) -> P:
        """Return the project once it is served. Raises NotServed, Unavailable."""
        # A status of up to a second ago spares the catalogue those who ask for what is not there.
        if self._status_of(asked.project_id) in REACHABLE:
            try:
                came = self._wait(asked, lambda: self._find(asked.project_id) is not None)
            except PgrstError as fault:
                raise NotServed(fault.status, fault.message, _retry_seconds(fault), fault.hint) from fault
            if came and (project := self._settled(asked.project_id)) is not None:
                return project
        raise self._not_serving(asked.project_id)

    def _settled(self, project_id: str) -> P | None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while (project := self._find(project_id)) is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return project

    def _not_serving(self, project_id: str) -> NotServed:
        state = self._status_of(project_id)
        if state == "active":
            return NotServed(503, "The project does not answer now", 1)
        if state in AWAY:
            return NotServed(503, f"The project is {state}", 5)
        return NotServed(404, "There is no such project")


def _retry_seconds(fault: PgrstError) -> int | None:
    said = next((value for name, value in fault.headers if name == "Retry-After"), "")
    return int(said) if said.isascii() and said.isdigit() else 1 if fault.status == 503 else None
