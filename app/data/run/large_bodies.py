"""Large bodies are read by processes of their own: while an interpreter reads one, it does nothing else."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from app.data.errors import PgrstError
from app.data.parse import body
from app.data.parse.body_process import payload
from infra.errors import Unavailable
from infra.helper_messages import write_message
from infra.helper_processes import IDLE_SECONDS, HelperProcesses

if TYPE_CHECKING:
    from app.data.parse.body import Payload

log = logging.getLogger(__name__)
# What is smaller is read in less time than asking somebody else takes.
LARGE_BYTES = 65_536
PROCESSES = 2
# Far longer than the largest body takes; then its process is ended.
SECONDS = 30.0


class LargeBodies:
    """Reads bodies. Safe to use from many threads; starts a process when there is something for it to do."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self.helpers = HelperProcesses("app.data.parse.body_process", processes)

    def read(self, whose: str, raw: bytes, kind: str, columns: tuple[str, ...] | None, *, routine: bool) -> Payload:
        """Read a body of a project, as `app.data.parse.body.read` does. Raises PgrstError."""
        if len(raw) < LARGE_BYTES:
            return body.read(raw, kind, columns, routine=routine)
        about = {"kind": kind, "columns": columns, "routine": routine}
        try:
            with self.helpers.turn(whose) as ask:
                said, text = ask(partial(write_message, about=about, content=raw), SECONDS)
        except Unavailable:
            log.warning("a large body could not be read", exc_info=True)
            raise _unreadable() from None
        return payload(said, text, raw)

    def trim(self, seconds: float = IDLE_SECONDS) -> None:
        """End the processes that have had nothing to do for so long."""
        self.helpers.trim(seconds)


def _unreadable() -> PgrstError:
    return PgrstError("PGRST001", "The body could not be read. Try again.", status=503, headers=(("Retry-After", "1"),))
