"""Asks a container's data API, on its socket, whether it answers, and for what configuration."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.sockets import UnixHTTPConnection

if TYPE_CHECKING:
    from pathlib import Path

# Nobody outside can ask for this: the edge says in a header where it found the API, which this request lacks.
PATH = "/launchdb/health"
SPEC_HEADER = "X-Launchdb-Spec"
SECONDS = 2.0


@dataclass(frozen=True)
class DataApiHealth:
    """An answer. spec: the hash of what is served, as far as the program tells."""

    spec: str | None


def ask_health(path: Path) -> DataApiHealth | None:
    """Return what the data API at this socket answers; None while it does not, or says that it cannot yet."""
    connection = UnixHTTPConnection(path, seconds=SECONDS)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return None if answer.status == 503 else DataApiHealth(answer.getheader(SPEC_HEADER))
