"""What a database holds, as it can be compared: rows of each table, sequences, and a digest of everything else."""

from __future__ import annotations

import hashlib
import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from infra.database import CONNECT_TIMEOUT_SECONDS, translated
from infra.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SQL = statements(__file__)
MOST_WORDS = 20
SEQUENCE = "sequence "
# What a tenant set for his login changes neither what is counted nor how definitions are printed.
OPTIONS = (
    "-c default_transaction_read_only=on -c row_security=off -c search_path=pg_catalog -c statement_timeout=0"
    " -c idle_in_transaction_session_timeout=0 -c lock_timeout=60s -c client_min_messages=warning"
)


@dataclass(frozen=True)
class Contents:
    """What was found in a database.

    rows     of each table, by its quoted name
    figures  state of each sequence when the look began; how many large objects there are
    objects  a digest of definition, owner and rights, by kind and name
    later    figures at the end of a look beside which something was dumped: a sequence moves on whatever a snapshot
             shows, so what is in the dump lies between both. None where nobody looked a second time.
    """

    rows: Mapping[str, int]
    figures: Mapping[str, int]
    objects: Mapping[str, str]
    later: Mapping[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Contents:
        """Read what `to_json` returned."""
        return cls(kept["rows"], kept["figures"], kept["objects"], kept.get("later"))

    def faults(self, found: Contents) -> list[str]:
        """Say in words in what `found` differs from this; nothing when it does not."""
        words = [
            f"table {name}: {found.rows.get(name, 'no')} rows instead of {rows}"
            for name, rows in self.rows.items()
            if found.rows.get(name) != rows
        ]
        words += [
            f"{name}: {found.figures.get(name, 'missing')} instead of {' to '.join(map(str, sorted({low, high})))}"
            for name, (low, high) in self._bounds().items()
            if name not in found.figures or not low <= found.figures[name] <= high
        ]
        words += [
            f"{key}: {'it is missing' if key not in found.objects else 'its definition, owner or rights differ'}"
            for key, digest in self.objects.items()
            if found.objects.get(key) != digest
        ]
        words += [f"{key}: it was not there" for key in found.objects if key not in self.objects]
        return words if len(words) <= MOST_WORDS else [*words[:MOST_WORDS], f"and {len(words) - MOST_WORDS} more"]

    def _bounds(self) -> dict[str, tuple[float, float]]:
        """Return between what each figure may lie. One that goes down ends lower than it began."""
        found: dict[str, tuple[float, float]] = {}
        for name, value in self.figures.items():
            if self.later is not None:
                last = self.later.get(name, value)
                found[name] = min(value, last), max(value, last)
            else:  # as sets were made before: a sequence that is ahead gives no number twice
                found[name] = value, math.inf if name.startswith(SEQUENCE) else value
        return found


class Look:
    """One look at a database: everything it tells is of the same moment, whose snapshot others may share."""

    def __init__(self, session: psycopg.Connection[Any], project: str) -> None:
        self._session, self._project = session, project
        row = session.execute(SQL.export_snapshot).fetchone()
        self.snapshot = str(row[0]) if row else ""
        self._figures = self.figures()

    def take(self, check: Callable[[], None]) -> Contents:
        """Return what is in the database; `check` is called before each table. Raises psycopg.Error."""
        rows = {}
        for (name,) in self._session.execute(SQL.tables).fetchall():
            check()
            found = self._session.execute(SQL.count.format(table=sql.SQL(name))).fetchone()  # quoted by the server
            rows[name] = int(found[0]) if found else 0
        return Contents(rows, self._figures, self._objects())

    def figures(self) -> dict[str, int]:
        """Return the figures as they are now: of sequences no snapshot shows those of before. Raises psycopg.Error."""
        return {name: int(value) for name, value in self._session.execute(SQL.figures).fetchall()}

    @property
    def server(self) -> str:
        """Version of the server."""
        return str(self._session.info.parameter_status("server_version"))

    def schema(self) -> str:
        """Return the newest migration of ours that a project's database has; nothing for another database."""
        row = self._session.execute(SQL.schema).fetchone()
        return str(row[0]) if row and row[0] else ""

    def size(self) -> int:
        """Return the size of the database in bytes."""
        row = self._session.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0

    def _objects(self) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for kind, name, state in self._session.execute(SQL.objects).fetchall():
            # Two projects can be compared: each one's own id stands for the same.
            found.setdefault(self._plain(f"{kind} {name}"), []).append(self._plain(state))
        return {
            key: hashlib.sha256("\n".join(sorted(states)).encode()).hexdigest()[:32] for key, states in found.items()
        }

    def _plain(self, text: str) -> str:
        return text.replace(self._project, "<id>") if self._project else text


@contextmanager
def looking(uri: str, session: str, *, project: str = "") -> Iterator[Look]:
    """Open one look at a database. project: the id that stands in its roles' names. Raises Unavailable."""
    with (
        translated(),
        psycopg.connect(
            uri,
            autocommit=True,
            application_name=session,
            options=OPTIONS,
            connect_timeout=int(CONNECT_TIMEOUT_SECONDS),
        ) as login,
    ):
        login.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield Look(login, project)
