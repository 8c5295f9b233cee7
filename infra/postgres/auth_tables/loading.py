"""Rows of another project's schema `auth`, written into ours: what fits, in the order in which they need each other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from infra.errors import Refused
from infra.postgres.auth_tables.reading import DumpRow, read_rows
from infra.postgres.database import is_transient
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import LiteralString

SQL = statements(__file__)
BATCH_ROWS, BATCH_BYTES = 500, 4 * 1024 * 1024
_ALL = sql.SQL("true")
# In this order each finds what it belongs to.
TABLES: dict[str, sql.Composable] = {
    "users": _ALL,
    "identities": SQL.belongs_to_user,
    "sessions": SQL.belongs_to_user,
    "refresh_tokens": SQL.belongs_to_session,
    "mfa_factors": SQL.belongs_to_user,
    "mfa_challenges": SQL.belongs_to_factor,
    "mfa_amr_claims": SQL.belongs_to_session,
    "one_time_tokens": SQL.belongs_to_user,
    "audit_log_entries": _ALL,
}


# Numbers that are counted here: those of elsewhere may be somebody else's.
OWN_NUMBERS = frozenset({("refresh_tokens", "id")})


@dataclass
class LoadReport:
    """What came of a dump.

    found, written  rows by table; what is there already, or belongs to nobody, is not written
    left_columns    that this version does not have, by table
    left_tables     that are not loaded, with their rows
    """

    found: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    left_columns: dict[str, list[str]] = field(default_factory=dict)
    left_tables: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Column:
    """A column of ours. instead_of_null: what it has where a dump has nothing and it must have something."""

    name: str
    is_json: bool
    instead_of_null: LiteralString | None

    @property
    def value(self) -> sql.Composable:
        read = sql.SQL("x.{}").format(sql.Identifier(self.name))
        if self.instead_of_null is None:
            return read
        # As the catalogue has it: an expression, which the server runs for whoever leaves the column out.
        return sql.SQL("coalesce({}, {})").format(read, sql.SQL(self.instead_of_null))


def load(connection: psycopg.Connection[Any], path: Path, look: Callable[[int], None]) -> LoadReport:
    """Write what a dump holds; twice is as good as once. Each batch commits by itself.

    connection  as the project's Auth login, each statement of which commits by itself
    look        is told the line of the file that is about to be written; may raise

    Raises Refused for a file that is no such dump, or holds what its column does not take.
    """
    report = LoadReport()
    for row in read_rows(path):
        kept = report.found if row.table in TABLES else report.left_tables
        kept[row.table] = kept.get(row.table, 0) + 1
    if not report.found.get("users"):
        raise Refused("the file holds no rows of auth.users")
    connection.execute(SQL.begin)
    known: dict[str, dict[str, _Column]] = {}
    for table, column, *traits in connection.execute(SQL.columns, {"tables": list(TABLES)}):
        known.setdefault(table, {})[column] = _Column(column, *traits)
    for table in TABLES:
        if report.found.get(table) and table in known:
            report.written[table] = _load_table(connection, path, table, known[table], report, look)
        elif report.found.get(table):
            report.left_tables[table] = report.found.pop(table)
    return report


def _load_table(
    connection: psycopg.Connection[Any],
    path: Path,
    table: str,
    known: dict[str, _Column],
    report: LoadReport,
    look: Callable[[int], None],
) -> int:
    written, strange = 0, set[str]()
    for batch in _batches(row for row in read_rows(path) if row.table == table):
        look(batch[0].line)
        strange |= {name for row in batch for name in row.values} - set(known)
        names = [name for name in known if name in batch[0].values and (table, name) not in OWN_NUMBERS]
        written += _write(connection, table, names, known, batch)
    if strange:
        report.left_columns[table] = sorted(strange)
    return written


def _batches(rows: Iterator[DumpRow]) -> Iterator[list[DumpRow]]:
    """Put rows together that have the same columns, up to a size."""
    batch, size = list[DumpRow](), 0
    for row in rows:
        more = sum(len(value or "") for value in row.values.values())
        full = len(batch) >= BATCH_ROWS or size + more > BATCH_BYTES
        if batch and (full or batch[0].values.keys() != row.values.keys()):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += more
    if batch:
        yield batch


def _write(
    connection: psycopg.Connection[Any], table: str, names: list[str], known: dict[str, _Column], batch: list[DumpRow]
) -> int:
    try:
        rows = [{name: _value(row.values[name], is_json=known[name].is_json) for name in names} for row in batch]
        query = SQL.load.format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, names)),
            values=sql.SQL(", ").join(known[name].value for name in names),
            belongs=TABLES[table],
        )
        return connection.execute(query, {"rows": Jsonb(rows)}).rowcount
    except (ValueError, psycopg.DataError, psycopg.IntegrityError) as error:
        state = getattr(error, "sqlstate", None) or "22P02"
        raise Refused(
            f"auth.{table}: of lines {batch[0].line} to {batch[-1].line} a row holds what its column does not take"
            f" (SQLSTATE {state})"
        ) from None
    except psycopg.Error as error:
        if is_transient(error):
            raise
        raise Refused(f"auth.{table}: the rows are not taken (SQLSTATE {error.sqlstate})") from None


def _value(text: str | None, *, is_json: bool) -> Any:
    return json.loads(text) if is_json and text is not None else text
