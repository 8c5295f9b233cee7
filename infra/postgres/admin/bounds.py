"""How long a session of the platform's own waits: nothing that a tenant holds keeps one without an end."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict

HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class SessionBounds:
    """What the server is told when a session of ours begins, or for as long as it is lent.

    lock_seconds       waiting for one lock: whoever holds it longer is somebody that does not mean to let go
    statement_seconds  one statement, the waiting included
    """

    lock_seconds: float
    statement_seconds: float

    def __post_init__(self) -> None:
        """Refuse a limit that the server would read as none."""
        if self.lock_milliseconds < 1 or self.statement_milliseconds < 1:
            raise ValueError("a session of ours has an end to its waiting")

    @property
    def lock_milliseconds(self) -> int:
        """Return lock_seconds as the server is told them."""
        return int(self.lock_seconds * 1000)

    @property
    def statement_milliseconds(self) -> int:
        """Return statement_seconds as the server is told them."""
        return int(self.statement_seconds * 1000)

    @property
    def options(self) -> str:
        """Return them as options of a session that begins."""
        return f"-c lock_timeout={self.lock_milliseconds} -c statement_timeout={self.statement_milliseconds}"

    def options_beside(self, conninfo: str) -> str:
        """Return them beside the options that `conninfo` has of its own: ours are told last, and count."""
        return " ".join(part for part in (str(conninfo_to_dict(conninfo).get("options") or ""), self.options) if part)


# A look at the catalogue, or a change of a few of its rows.
CATALOGUE = SessionBounds(lock_seconds=10, statement_seconds=60)
# What the size of a database decides on: copying, dropping, renaming one, giving all that is in it to somebody else.
WHOLE_DATABASE = SessionBounds(lock_seconds=10, statement_seconds=HOUR_SECONDS)
# Waiting for another starter of ours that builds the template, or migrates the platform's own database.
BEHIND_ANOTHER = SessionBounds(lock_seconds=300, statement_seconds=HOUR_SECONDS)
# The platform's own database, where no tenant ever is: we wait for one another there, and some sums are long.
PLATFORM = SessionBounds(lock_seconds=60, statement_seconds=600)
