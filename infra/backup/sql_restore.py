"""Plays the SQL of a dump into a database: statement by statement and block by block, as a login of the project's.

psql is not used: it obeys commands of its own that a hostile name might carry into a script, and knows no way to leave
a statement out. What pg_dump writes is cut by the server's own lexer, and nothing is decided by comments, which repeat
names that a tenant chose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import psycopg

from infra.backup import dump_roles
from infra.backup.dump_extensions import AdministratorExtensions
from infra.backup.dump_text import DumpReader
from infra.errors import Refused
from infra.postgres.database import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COPY = re.compile(rb"COPY .+ FROM stdin\Z", re.DOTALL)
_SESSION = re.compile(rb"SET SESSION AUTHORIZATION (?P<role>.+)\Z", re.DOTALL)
_OF_LOGIN = (b"RESET SESSION AUTHORIZATION", b"SET SESSION AUTHORIZATION DEFAULT")
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
# So many statements may fail before the rest is not tried any more.
MOST_FAILURES = 1000
# Where functions that a tenant wrote find what they call without a schema: as in their own sessions, and then anywhere.
PATH = 'SET search_path = "$user", public, extensions'
SCHEMAS = r"""SELECT string_agg(quote_ident(nspname), ', ' ORDER BY nspname) FROM pg_namespace
 WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'launchdb', 'public', 'extensions')"""
NO_PATH = "SET search_path = ''"


@dataclass
class RestoreSummary:
    """What was played: how many statements, of how many tables the rows, and which statements failed, in words."""

    statements: int = 0
    tables: int = 0
    failures: list[str] = field(default_factory=list)


class SqlRestore:
    """Plays one dump once.

    target      a session of the login that restores, in autocommit
    role        tells how a role that the dump names is called here
    extend      called with name and quoted schema where the dump creates an extension
    look        called with the bytes read so far
    most_bytes  what the dump may hold at most, by its signed manifest
    """

    def __init__(
        self,
        target: psycopg.Connection[Any],
        *,
        extend: Callable[[str, str], None],
        look: Callable[[int], None],
        role: Callable[[str], str] = str,
    ) -> None:
        self._target, self._extend, self._look = target, extend, look
        self._role, self._owners, self._as_other = role, dump_roles.ObjectOwners(), False
        self._administrators = AdministratorExtensions()
        self.played = RestoreSummary()

    def restore(self, source: IO[bytes]) -> RestoreSummary:
        """Play everything; a statement that fails does not keep the rest away.

        Raises Refused when there is no end of them, Damaged when the text breaks off.
        """
        text = DumpReader(source, self._look)
        while (statement := text.next_statement()) is not None:
            if _COPY.match(statement):
                self._copy(statement, text.copy_rows())
            else:
                for each in self._administrators.filter(statement):
                    self._execute(each)
        return self.played

    def _execute(self, statement: bytes) -> None:
        if statement.startswith(LEFT_OUT):
            return
        self.played.statements += 1
        if extension := _EXTENSION.match(statement):
            try:
                self._extend(_unquoted(extension[1].decode()), extension[2].decode())
            except Refused as error:
                self._fail(str(error))
            return
        statement = dump_roles.rename_roles(statement, self._role)
        if statement in _OF_LOGIN or (found := _SESSION.match(statement)):
            # Rights that another role had granted are granted by it again: the login may become each of the project's.
            self._as_other = statement not in _OF_LOGIN
            statement = b"SET ROLE " + found["role"] if self._as_other and found else b"RESET ROLE"
        self._do(statement)

    def _do(self, statement: bytes) -> None:
        error = self._granted(statement)
        if isinstance(error, psycopg.errors.InsufficientPrivilege) and (change := _OWNER.match(statement)):
            error = self._given(statement, change["schema"], change["owner"])
        if error is None:
            self._owners.note_owner(statement)
            self._keep_open(statement)
            return
        # A name without a schema, in a function that is called: the tenant's own sessions would find it.
        for path in self._paths():
            self._target.execute(path.encode())
            again = self._tried(statement)
            self._target.execute(NO_PATH)
            if again is None:
                return
        self._fail(_words(error, statement))

    def _granted(self, statement: bytes) -> psycopg.Error | None:
        """Play a statement, as who owns what it is about where it is about rights; return why it failed."""
        granting = statement if self._as_other else self._owners.grant_as_owner(statement)
        error = self._tried(granting)
        # The owner may have shut itself out of a schema, where this login still finds names.
        return self._tried(statement) if error is not None and granting != statement else error

    def _given(self, statement: bytes, schema: bytes, owner: bytes) -> psycopg.Error | None:
        """Give something to its owner, who may not make anything in that schema yet: rights come later in a dump."""
        right = b"CREATE ON SCHEMA %b" % schema
        error = self._tried(b"GRANT %b TO %b" % (right, owner)) or self._tried(statement)
        return self._tried(b"REVOKE %b FROM %b" % (right, owner)) or error

    def _keep_open(self, statement: bytes) -> None:
        """Find names in a schema also when its owner has given away that they may: this login keeps a right of its own.

        It goes with the login.
        """
        if shut := _SHUT.match(statement):
            self._tried(b"GRANT USAGE, CREATE ON SCHEMA %b TO SESSION_USER" % shut["schema"])

    def _tried(self, statement: bytes) -> psycopg.Error | None:
        """Play a statement; return why it failed. Raises psycopg.Error when another attempt may succeed."""
        try:
            self._target.execute(statement)
        except psycopg.Error as error:
            if is_transient(error):
                raise
            return error
        return None

    def _paths(self) -> list[str]:
        row = self._target.execute(SCHEMAS).fetchone()
        return [PATH, *([f"{PATH}, {row[0]}"] if row and row[0] else [])]

    def _fail(self, words: str) -> None:
        self.played.failures.append(words)
        if len(self.played.failures) > MOST_FAILURES:
            raise Refused(
                f"more than {MOST_FAILURES} statements of the dump failed, at first: {self.played.failures[0]}"
            )

    def _copy(self, statement: bytes, pieces: Iterator[bytes]) -> None:
        self._target.execute(self._paths()[-1].encode())
        try:
            with self._target.cursor() as cursor, cursor.copy(statement) as copy:
                for piece in pieces:
                    copy.write(piece)
        except psycopg.Error as error:
            if is_transient(error):
                raise
            for _rest in pieces:
                continue
            self._fail(_words(error, statement))
        else:
            self.played.tables += 1
        self._target.execute(NO_PATH)


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _words(error: psycopg.Error, statement: bytes) -> str:
    # The first words name the statement; the server's detail might quote a row.
    words = " ".join(statement[:200].decode(errors="replace").split())[:80]
    return f"a statement of the dump failed ({error.sqlstate}: {error.diag.message_primary}): {words}"
