"""What a database holds, as it can be compared: rows of each table, sequences, a digest of everything else.

Expressions stand apart from what they belong to: their text is not the same any more once it was parsed anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from infra.backup import fingerprint_before
from infra.postgres.sql import statements
from infra.postgres.tenant_session import DAY_SECONDS, Bounds, tenant_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from infra.postgres.cluster import Cluster

SQL = statements(__file__)
SEQUENCE = "sequence "
OF_EVERY_PROJECT = ("public", "auth", "storage", "extensions")
# How often sequences are looked at while something is dumped, at most.
SAMPLE_SECONDS = 0.2
# What a tenant set for their login, or a server is set to, changes neither what is counted nor how definitions are
# printed: a set is compared on other machines, too.
SETTINGS = {
    "default_transaction_read_only": "on", "row_security": "off", "search_path": "pg_catalog",
    "client_min_messages": "warning", "timezone": "UTC", "datestyle": "ISO,MDY", "intervalstyle": "postgres",
    "lc_monetary": "C", "extra_float_digits": "1", "bytea_output": "hex", "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
}  # fmt: skip
BOUNDS = Bounds(DAY_SECONDS, statement_seconds=0, lock_seconds=60, idle_seconds=0, size=64_000_000, settings=SETTINGS)


@dataclass(frozen=True)
class Fingerprint:
    """What was found in a database.

    rows     of each table, by its quoted name
    figures  state of each sequence when the look began; how many large objects there are
    objects  a digest of existence, kind, owner, rights and whatever else comes back as it was, by kind and name
    later    figures at the end of a look beside which something was dumped: a sequence moves on whatever a snapshot
             shows, so what is in the dump lies between both. None where nobody looked a second time.
    texts    what the server prints of parsed expressions, by kind and name; None in sets that were made before they
             stood apart: there they are part of `objects`
    moved    sequences that were used meanwhile, or that cycle: no value of theirs is wrong
    left_out what is there and in no dump: an index that was never finished
    numbered whether the server numbers columns, which is in no digest; None in sets that were made when it was
    """

    rows: Mapping[str, int]
    figures: Mapping[str, int]
    objects: Mapping[str, str]
    later: Mapping[str, int] | None = None
    texts: Mapping[str, str] | None = None
    moved: Sequence[str] = ()
    left_out: Sequence[str] = ()
    numbered: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Fingerprint:
        """Read what `to_json` returned, also in an older version."""
        known = {field.name for field in fields(cls)}
        read = cls(**{name: value for name, value in kept.items() if name in known})
        if "moved" in kept or read.later is None:
            return read
        return replace(read, moved=[name for name, last in read.later.items() if read.figures.get(name, last) != last])

    @property
    def lacks_schemas(self) -> set[str]:
        """Which of the schemas that every project begins with are not there: their owner may drop or rename them."""
        return {schema for schema in OF_EVERY_PROJECT if f"schema {schema}" not in self.objects}

    def without(self, schema: str) -> Fingerprint:
        """Return the same without what is in a schema whose name needs no quotes."""

        def outside(key: str) -> bool:
            # What something lies in, or is on, stands last; but for a function, whose arguments come after its name.
            words = [*key.split()[-2:], *key.partition("(")[0].split()[-2:]]
            return not any(word == schema or word.startswith(f"{schema}.") for word in words)

        def rest(of: Mapping[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in of.items() if outside(key)}

        texts = None if self.texts is None else rest(self.texts)
        return replace(self, rows=rest(self.rows), figures=rest(self.figures), objects=rest(self.objects), texts=texts)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return between what each figure may lie. One that goes down ends lower than it began."""
        found: dict[str, tuple[float, float]] = {}
        for name, value in self.figures.items():
            if self.later is not None:
                last = self.later.get(name, value)
                found[name] = min(value, last), max(value, last)
            else:  # as sets were made before: a sequence that is ahead gives no number twice
                found[name] = value, math.inf if name.startswith(SEQUENCE) else value
        return found


class FingerprintReader:
    """One look at a database: everything it tells is of the same moment, whose snapshot others may share.

    session  the one that looks, in its transaction
    written  another one once a row was written after that moment, as soon as the session that wrote it has ended
    """

    written = ""

    def __init__(self, session: psycopg.Connection[Any], project: str, stand_ins: Mapping[str, str]) -> None:
        self.session, self._project, self._stand_ins = session, project, stand_ins
        row = session.execute(SQL.export_snapshot).fetchone()
        self.snapshot = str(row[0]) if row else ""
        self._figures = self.figures()
        self._moved = {name for (name,) in session.execute(SQL.cycling).fetchall()}
        self._sampled = time.monotonic()

    def read(self, check: Callable[[], None]) -> Fingerprint:
        """Return what is in the database; `check` is called before each table. Raises psycopg.Error."""
        rows = self._rows(check)
        objects, texts = self._objects()
        left_out = [
            f"{name}: it was never finished, and is in no dump"
            for (name,) in self.session.execute(SQL.left_out).fetchall()
        ]
        numbered = self.session.execute(SQL.numbered).fetchone() == (True,)
        return Fingerprint(
            rows, self._figures, objects, texts=texts, moved=sorted(self._moved), left_out=left_out, numbered=numbered
        )

    def read_like(self, kept: Fingerprint, scope: str, check: Callable[[], None]) -> Fingerprint:
        """Return what is in the database in the form in which `kept` can be compared with it.

        scope  the project that `kept` was of

        Raises psycopg.Error.
        """
        found = self.read(check)
        if kept.texts is not None:
            return found
        names = {self._project: "<id>", scope: "<id>", **self._stand_ins}
        return replace(found, objects=fingerprint_before.digests(self.session, names))

    def with_final_sequences(self, found: Fingerprint) -> Fingerprint:
        """Return what was found, once what it was looked at for is over: with what sequences did meanwhile."""
        self._sample(0)
        return replace(found, later=self.figures(), moved=sorted(self._moved))

    def figures(self) -> dict[str, int]:
        """Return the figures as they are now: of sequences no snapshot shows those of before. Raises psycopg.Error."""
        return {name: int(value) for name, value in self.session.execute(SQL.figures).fetchall()}

    def _sample(self, seconds: float = SAMPLE_SECONDS) -> None:
        if time.monotonic() - self._sampled >= seconds:
            now = self.figures()
            self._moved |= {name for name, value in self._figures.items() if now.get(name, value) != value}
            self._sampled = time.monotonic()

    def _rows(self, check: Callable[[], None]) -> dict[str, int]:
        rows = {}
        for (name,) in self.session.execute(SQL.tables).fetchall():
            check()
            self._sample()
            found = self.session.execute(SQL.count.format(table=sql.SQL(name))).fetchone()  # quoted by the server
            rows[name] = int(found[0]) if found else 0
        return rows

    @property
    def server(self) -> str:
        """Version of the server."""
        return str(self.session.info.parameter_status("server_version"))

    def schema(self) -> str:
        """Return the newest migration of ours that a project's database has; nothing for another database."""
        row = self.session.execute(SQL.schema).fetchone()
        return str(row[0]) if row and row[0] else ""

    def size(self) -> int:
        """Return the size of the database in bytes."""
        row = self.session.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0

    def _objects(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the digest of each object, and the expressions of those that have some."""
        states: dict[str, list[str]] = {}
        texts: dict[str, list[str]] = {}
        stand_ins = sql.Literal(json.dumps(dict(self._stand_ins)))
        prefix = sql.Literal(f"{self._project}_" if self._project else None)
        for kind, name, state, text in self.session.execute(SQL.objects.format(stand_ins=stand_ins, prefix=prefix)):
            states.setdefault(f"{kind} {name}", []).append(state)
            if text:
                texts.setdefault(f"{kind} {name}", []).append(text)
        digests = {key: hashlib.sha256("\n".join(sorted(of)).encode()).hexdigest()[:32] for key, of in states.items()}
        return digests, {key: "\n".join(sorted(of)) for key, of in texts.items()}


@contextmanager
def open_reader(
    cluster: Cluster,
    uri: str,
    session: str,
    *,
    project: str = "",
    stand_ins: Mapping[str, str] | None = None,
    check: Callable[[], None] | None = None,
) -> Iterator[FingerprintReader]:
    """Open one look at a database.

    project    the id that stands in its roles' names
    stand_ins  roles that stand for others, by name: what is found of them is told as theirs
    check      called several times a second while something is asked; may raise to have that ended

    Raises Unavailable.
    """
    with tenant_session(cluster, uri, session, BOUNDS, look=check) as login:
        row = login.execute(SQL.written).fetchone()
        login.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        look = FingerprintReader(login, project, stand_ins or {})
        look.written = str(row[0]) if row else ""
        try:
            yield look
        except Exception as error:
            # Whatever shared its snapshot has failed with it, in another thread or program.
            if login.stopped is not None and error is not login.stopped:
                raise login.stopped from error
            raise
