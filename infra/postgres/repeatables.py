"""The functions of a database: files that are applied anew, whole, whenever they have changed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from config.settings import CHECKOUT
from infra.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

# By the folder of numbered files that they come with. A database knows a file by its name here, not by where it lies.
FILES: dict[str, dict[str, Path]] = {
    "platform": {
        "catalogue": CHECKOUT / "catalog" / "functions.sql",
        "engine": CHECKOUT / "jobs" / "engine" / "functions.sql",
    }
}

_LEDGER = sql.SQL("""
CREATE TABLE IF NOT EXISTS schema_functions (
    name text PRIMARY KEY, number integer NOT NULL, checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())
""")
_KNOWN = sql.SQL("SELECT number, checksum FROM schema_functions WHERE name = %s")
_RECORD = sql.SQL("""
INSERT INTO schema_functions (name, number, checksum) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET number = excluded.number, checksum = excluded.checksum, applied_at = now()
""")
_NUMBER = re.compile(r"\A-- number: ([1-9][0-9]*)\n")
_TABLES = re.compile(r"^-- after the tables$", re.MULTILINE)


@dataclass(frozen=True)
class RepeatableFile:
    """One file of functions.

    number  raised with every change: of two programs at one database, that with the higher has the newer functions
    before  what the numbered files need, because their triggers name it
    after   what needs the tables that the numbered files make
    """

    name: str
    number: int
    checksum: str
    before: str
    after: str

    @property
    def version(self) -> str:
        """Name of this state of the file."""
        return f"{self.name}@{self.number}"


def read_repeatables(folder: str) -> list[RepeatableFile]:
    """Return the files that come with `migrations/<folder>`. Raises ValueError for one without number or mark."""
    return [_parse(name, path.read_bytes()) for name, path in FILES.get(folder, {}).items()]


def changed_repeatables(connection: psycopg.Connection[Any], folder: str) -> list[RepeatableFile]:
    """Return the files that have to be applied to a database.

    Where a newer program has been, its functions stay. Raises Refused for a file that was edited and whose number was
    not raised: nothing would say which of the two is newer.
    """
    found = read_repeatables(folder)
    if found:  # a database that has none gets no record of them
        connection.execute(_LEDGER)
    return [one for one in found if _is_due(connection, one)]


def record(connection: psycopg.Connection[Any], one: RepeatableFile) -> None:
    """Write down that a file has been applied."""
    connection.execute(_RECORD, (one.name, one.number, one.checksum))


def _parse(name: str, content: bytes) -> RepeatableFile:
    text = content.decode()
    number, parts = _NUMBER.match(text), _TABLES.split(text)
    if number is None or len(parts) != 2:
        raise ValueError(
            f"the functions of {name} want a number in their first line and one mark after their triggers'"
        )
    return RepeatableFile(name, int(number[1]), hashlib.sha256(content).hexdigest(), *parts)


def _is_due(connection: psycopg.Connection[Any], one: RepeatableFile) -> bool:
    row = connection.execute(_KNOWN, (one.name,)).fetchone()
    if row is None:
        return True
    number, checksum = row
    if number == one.number and checksum != one.checksum:
        raise Refused(
            f"the functions of {one.name} were edited after number {number} had been applied: raise the number"
        )
    return bool(number < one.number)
