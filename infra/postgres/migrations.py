"""Applies numbered, checksummed SQL files to a database, each once, in order, and its functions."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from config.settings import CHECKOUT
from infra.errors import Refused
from infra.postgres import repeatables

if TYPE_CHECKING:
    import psycopg

MIGRATIONS = CHECKOUT / "migrations"

_LEDGER = sql.SQL("""
CREATE TABLE IF NOT EXISTS schema_migrations (
    version text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())
""")
_RECORD = sql.SQL("INSERT INTO schema_migrations (version, checksum) VALUES (%s, %s) ON CONFLICT DO NOTHING")
_REPLACES = re.compile(r"^-- replaces: (\w+) ([0-9a-f]{64})$", re.MULTILINE)
_TAKES_OVER = re.compile(r"^-- takes over: (.+)$", re.MULTILINE)


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

    @property
    def replaces(self) -> dict[str, str]:
        """The files that this one stands for, by version, with their checksums: its header lists them."""
        return dict(_REPLACES.findall(self.text))


def read_migrations(folder: str) -> list[Migration]:
    """Return the migrations of `migrations/<folder>`, or of an absolute folder, in order."""
    return [
        Migration(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), path.read_text())
        for path in sorted((MIGRATIONS / folder).glob("*.sql"))
    ]


def checksum(folder: str) -> str:
    """Return one checksum over all migrations of a folder: it names the template built from them."""
    return hashlib.sha256("".join(migration.checksum for migration in read_migrations(folder)).encode()).hexdigest()[
        :16
    ]


def apply_migrations(connection: psycopg.Connection[Any], folder: str, *, upto: str = "") -> list[str]:
    """Bring a database to the newest version, or to the version `upto`; return the versions applied now.

    Several processes may start at once: a lock lets one of them do it. A database that is ahead (an older program
    meets a newer schema, or newer functions) is left alone. One that has all the files that a newer one replaces is
    taken over as it is. Functions belong to the newest version: with `upto` there are those of triggers only.

    Raises Refused when an applied file has been edited since, and for a database of a version too old to be taken over.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(19524, 0)")
        connection.execute(_LEDGER)
        functions = repeatables.changed_repeatables(connection, folder)
        for one in functions:
            connection.execute(sql.SQL(one.before))  # our own files, not outside input
        applied = _apply_numbered(connection, folder, upto)
        for one in functions if not upto else []:
            connection.execute(sql.SQL(one.after))
            repeatables.record(connection, one)
            applied.append(one.version)
    return applied


def _apply_numbered(connection: psycopg.Connection[Any], folder: str, upto: str) -> list[str]:
    applied: list[str] = []
    known = dict(connection.execute("SELECT version, checksum FROM schema_migrations").fetchall())
    for migration in read_migrations(folder):
        if upto and migration.version > upto:
            break
        if migration.version in known:
            _refuse_edited(migration.version, known[migration.version], migration.checksum)
            continue
        if not _is_there(migration, known):
            connection.execute(sql.SQL(migration.text))
        # With what it replaces: a program that still has those files leaves the database alone.
        for version, of_file in {migration.version: migration.checksum, **migration.replaces}.items():
            connection.execute(_RECORD, (version, of_file))
        applied.append(migration.version)
    return applied


def _refuse_edited(version: str, applied: str, file: str) -> None:
    if applied != file:
        raise Refused(f"migration {version} was edited after it had been applied")


def _is_there(migration: Migration, known: dict[str, str]) -> bool:
    """Return whether a database has all that a file stands for. Raises Refused when it has a part of it."""
    replaced = migration.replaces
    if not replaced.keys() & known.keys():
        return False
    for version in replaced.keys() & known.keys():
        _refuse_edited(version, known[version], replaced[version])
    missing = [version for version in replaced if version not in known]
    if missing:
        named = _TAKES_OVER.search(migration.text)
        raise Refused(
            f"the database is of a version too old to be taken over ({', '.join(missing)} were not applied): "
            f"update to version {named[1] if named else 'before'} first"
        )
    return True
