"""Applies numbered, checksummed SQL files to a database, each once, in order."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from infra.errors import Refused

if TYPE_CHECKING:
    import psycopg

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"

_LEDGER = sql.SQL("""
CREATE TABLE IF NOT EXISTS schema_migrations (
    version text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())
""")


@dataclass(frozen=True)
class Migration:
    """One file: its version is the stem, its checksum the SHA-256 of its bytes."""

    version: str
    checksum: str
    text: str

    @property
    def reversible(self) -> bool:
        """Whether the program of before can live with it. All can, but those whose header says `-- reversible: no`."""
        return re.search(r"^-- reversible: no\b", self.text, re.MULTILINE) is None


def read(folder: str) -> list[Migration]:
    """Return the migrations of `migrations/<folder>`, or of an absolute folder, in order."""
    return [
        Migration(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), path.read_text())
        for path in sorted((MIGRATIONS / folder).glob("*.sql"))
    ]


def checksum(folder: str) -> str:
    """Return one checksum over all migrations of a folder: it names the template built from them."""
    return hashlib.sha256("".join(migration.checksum for migration in read(folder)).encode()).hexdigest()[:16]


def apply(connection: psycopg.Connection[Any], folder: str, *, upto: str = "") -> list[str]:
    """Bring a database to the newest version, or to the version `upto`; return the versions applied now.

    Several processes may start at once: a lock lets one of them do it. A database that is ahead (an older program
    meets a newer schema) is left alone. Raises Refused when an applied file has been edited since.
    """
    applied: list[str] = []
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(19524, 0)")
        connection.execute(_LEDGER)
        known = dict(connection.execute("SELECT version, checksum FROM schema_migrations").fetchall())
        for migration in read(folder):
            if upto and migration.version > upto:
                break
            if migration.version in known:
                if known[migration.version] != migration.checksum:
                    raise Refused(f"migration {migration.version} was edited after it had been applied")
                continue
            # Our own files, not outside input.
            connection.execute(sql.SQL(migration.text))
            connection.execute(
                "INSERT INTO schema_migrations (version, checksum) VALUES (%s, %s)",
                (migration.version, migration.checksum),
            )
            applied.append(migration.version)
    return applied
