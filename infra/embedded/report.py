"""How the supervisor tells whoever started it what happens: one JSON object a line, until all is ready."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

STEP, FAULT, READY = "step", "fault", "ready"


class StartReport:
    """The writing end, standard output. A starter that has gone is no reason to stop."""

    def send(self, event: str, message: str) -> None:
        """Tell one thing."""
        try:
            os.write(1, json.dumps({"event": event, "message": message}).encode() + b"\n")
        except OSError:
            return

    def close(self) -> None:
        """Release standard output: the starter reads to its end."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)


def read(stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Return (event, message) as they come, until the supervisor lets go."""
    for line in stream:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        yield str(said["event"]), str(said["message"])
