"""Plays the SQL of a dump into a database: statement by statement and block by block, as a login of the project's.

psql is not used: it obeys commands of its own that a hostile name might carry into a script, and knows no way to leave
a statement out. What pg_dump writes is cut by the server's own lexer, and nothing is decided by comments, which repeat
names that a tenant chose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import psycopg

from infra.database import is_transient
from infra.dump_text import DumpText
from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COPY = re.compile(rb"COPY .+ FROM stdin\Z", re.DOTALL)
_SESSION = re.compile(rb"SET SESSION AUTHORIZATION ('(?:[^']|'')*'|DEFAULT)\Z")
_EXTENSION = re.compile(rb'CREATE EXTENSION IF NOT EXISTS (\S+) WITH SCHEMA ("(?:[^"]|"")+"|\S+)\Z')
_NAME = rb'(?:"(?:[^"]|"")+"|[^\s".(]+)'
_OWNER = re.compile(rb"ALTER [A-Z ]+ (?P<schema>%b)\..+ OWNER TO (?P<owner>%b)\Z" % (_NAME, _NAME), re.DOTALL)
_SHUT = re.compile(rb"REVOKE ALL ON SCHEMA (?P<schema>%b) FROM " % _NAME)
# What the platform makes itself: event triggers need a superuser, and an extension's comment its creator. And with row
# security off a materialized view over a table that forces it on its owner could not be filled as it was before.
LEFT_OUT = (
    b"SET row_security = off",
    b"CREATE EVENT TRIGGER ",
    b"ALTER EVENT TRIGGER ",
    b"COMMENT ON EVENT TRIGGER ",
    b"COMMENT ON EXTENSION ",
)


@dataclass
class Played:
    """What was played: how many statements, and of how many tables the rows."""

    statements: int = 0
    tables: int = 0


class Replay:
    """Plays one dump once.

    target      a session of the login that restores, in autocommit
    renamed     text that stands for another in statements, never in rows: (the old project's id, the new one's)
    extend      called with name and quoted schema where the dump creates an extension
    look        called with the bytes read so far
    most_bytes  what the dump may hold at most, by its signed manifest
    """

    def __init__(
        self,
        target: psycopg.Connection[Any],
        *,
        renamed: tuple[str, str] | None,
        extend: Callable[[str, str], None],
        look: Callable[[int], None],
    ) -> None:
        self._target, self._extend, self._look = target, extend, look
        self._renamed = (renamed[0].encode(), renamed[1].encode()) if renamed else None
        self.played = Played()

    def play(self, source: IO[bytes]) -> Played:
        """Play everything. Raises Refused naming the statement that failed, Damaged when the text breaks off."""
        text = DumpText(source, self._look)
        while (statement := text.statement()) is not None:
            if _COPY.match(statement):
                self._copy(statement, text.rows())
            else:
                self._execute(statement)
        return self.played

    def _execute(self, statement: bytes) -> None:
        if statement.startswith(LEFT_OUT):
            return
        if extension := _EXTENSION.match(statement):
            self._extend(_unquoted(extension[1].decode()), extension[2].decode())
            return
        self.played.statements += 1
        self._do(_as_role(self._named(statement)))

    def _named(self, statement: bytes) -> bytes:
        return statement.replace(*self._renamed) if self._renamed else statement

    def _do(self, statement: bytes) -> None:
        try:
            try:
                self._target.execute(statement)
            except psycopg.errors.InsufficientPrivilege:
                if (change := _OWNER.match(statement)) is None:
                    raise
                self._give(statement, change["schema"], change["owner"])
            if revoked := _SHUT.match(statement):
                # Names in a schema are found by whoever may use it: its owner may have given that away.
                self._target.execute(b"GRANT USAGE, CREATE ON SCHEMA %b TO SESSION_USER" % revoked["schema"])
        except psycopg.Error as error:
            raise _refusal(error, statement) from error

    def _give(self, statement: bytes, schema: bytes, owner: bytes) -> None:
        """Give something to its owner, who may not make anything in that schema: rights come later in a dump."""
        self._target.execute(b"GRANT CREATE ON SCHEMA %b TO %b" % (schema, owner))
        try:
            self._target.execute(statement)
        finally:
            self._target.execute(b"REVOKE CREATE ON SCHEMA %b FROM %b" % (schema, owner))

    def _copy(self, statement: bytes, rows: Iterator[bytes]) -> None:
        try:
            with self._target.cursor() as cursor, cursor.copy(self._named(statement)) as copy:
                for piece in rows:
                    copy.write(piece)
        except psycopg.Error as error:
            raise _refusal(error, statement) from error
        self.played.tables += 1


def _as_role(statement: bytes) -> bytes:
    """Rights that another role had granted are granted by it again: the login may become each of the project's."""
    found = _SESSION.match(statement)
    if found is None:
        return statement
    return b"RESET ROLE" if found[1] == b"DEFAULT" else b"SET ROLE " + found[1]


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _refusal(error: psycopg.Error, statement: bytes) -> Exception:
    if is_transient(error):
        return error
    # The first words name the statement; the server's detail might quote a row.
    words = " ".join(statement[:200].decode(errors="replace").split())[:80]
    return Refused(f"a statement of the dump failed ({error.sqlstate}: {error.diag.message_primary}): {words}")
