"""Pieces of SQL: identifiers are quoted, values become parameters, and only our own words stand as they are."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, LiteralString, TypeAlias

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.data.names import Name

Piece: TypeAlias = "LiteralString | sql.Composable"
_CAST = re.compile(r"[\w $]+")


class Parameters:
    """The parameters of one statement, by the names they are given."""

    def __init__(self) -> None:
        self.held: dict[str, object] = {}

    def add(self, value: object) -> sql.Composable:
        """Keep a value; return the placeholder that stands for it."""
        name = f"p{len(self.held)}"
        self.held[name] = value
        return sql.Placeholder(name)


def compose(*parts: Piece) -> sql.Composed:
    """Put pieces after one another."""
    return sql.Composed([sql.SQL(part) if isinstance(part, str) else part for part in parts])


def join_sql(separator: LiteralString, parts: Iterable[sql.Composable]) -> sql.Composed:
    """Put pieces after one another, with a separator between them."""
    return sql.SQL(separator).join(parts)


@functools.lru_cache(maxsize=8192)
def ident(name: str) -> sql.Composable:
    """Quote an identifier. A percent sign is doubled, for it would begin a placeholder."""
    return _written(sql.Identifier(name.replace("%", "%%")).as_string(None))


@functools.lru_cache(maxsize=8192)
def qualified(name: Name) -> sql.Composable:
    """Quote a name with its schema, when it has one."""
    return compose(ident(name.schema), ".", ident(name.name)) if name.schema else ident(name.name)


def column(table: Name, name: str) -> sql.Composable:
    """Quote a column of a table; `*` stands for all."""
    return compose(qualified(table), ".", sql.SQL("*") if name == "*" else ident(name))


def cast_type(name: str) -> sql.Composable:
    """Return a type's name as the client wrote it; Postgres's own spellings (`int`) do not survive quoting.

    Letters, digits, blanks, `_` and `$` only, so that it can neither end nor begin anything.
    """
    if not _CAST.fullmatch(name):
        raise ValueError("not the name of a type")
    return _written(name)


def from_catalogue(text: str) -> sql.Composable:
    """Return a type or a default expression as Postgres itself printed it from its catalogue."""
    return _written(text.replace("%", "%%"))


def _written(text: str) -> sql.SQL:
    return sql.SQL(text)
