"""Reads a whole query string into one Query."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote_plus

from app.data.errors import PgrstError, parse_error
from app.data.parse import fields, filters
from app.data.parse.terms import ALL, Filter, Query, RowRange

if TYPE_CHECKING:
    from app.data.parse.terms import Path

RESERVED = frozenset({"select", "columns", "on_conflict"})
SUFFIXES = frozenset({"order", "limit", "offset", "and", "or"})
PARAMETERS_MAX = 1000
_INTEGER = re.compile(r"\s*-?[0-9]{1,30}\s*")


def read(text: str, *, arguments: bool) -> Query:
    """Read a query string; with `arguments`, what is no filter is an argument of a function. Raises PgrstError."""
    pairs = _pairs(text)
    named: dict[str, str] = {}
    for key, value in pairs:
        named.setdefault(key, value)
    sieved = [(key, value) for key, value in pairs if key not in RESERVED and _last(key) not in SUFFIXES]
    found, given = _filters(sieved, arguments=arguments)
    return Query(
        select=fields.read_select(named.get("select", "*")),
        filters=tuple(found),
        logic=tuple(filters.read_logic(key, value) for key, value in pairs if _last(key) in ("and", "or")),
        orders=tuple(
            (filters.read_filter_target(key)[0], filters.read_order(value))
            for key, value in pairs
            if _last(key) == "order"
        ),
        windows=_windows(pairs),
        columns=fields.read_names(named["columns"], "columns parameter") if "columns" in named else None,
        on_conflict=fields.read_names(named["on_conflict"], "on_conflict parameter")
        if "on_conflict" in named
        else None,
        arguments=tuple(given),
        filter_names=frozenset(key for key, _ in sieved),
        canonical="&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(pairs, key=_key)),
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise parse_error("Too many parameters", f"at most {PARAMETERS_MAX} are read") from None
    if any("\0" in key or "\0" in value for key, value in pairs):
        raise parse_error("The query string holds a NUL character", "Postgres has no such text")
    return pairs


def _key(pair: tuple[str, str]) -> str:
    return pair[0]


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _filters(
    pairs: list[tuple[str, str]], *, arguments: bool
) -> tuple[list[tuple[Path, Filter]], list[tuple[str, str]]]:
    found, given = [], []
    for key, value in pairs:
        path, column = filters.read_filter_target(key)
        try:
            found.append((path, Filter(column, filters.read_operation(value))))
        except PgrstError:
            if not arguments:
                raise
            given.append((column.name, value))
    return found, given


def _windows(pairs: list[tuple[str, str]]) -> dict[Path, RowRange]:
    windows: dict[Path, RowRange] = {}
    for key, value in pairs:
        if _last(key) not in ("limit", "offset"):
            continue
        path = filters.read_filter_target(key)[0]
        if not _INTEGER.fullmatch(value):
            continue
        window = windows.get(path, ALL)
        windows[path] = (
            RowRange(window.offset, int(value)) if _last(key) == "limit" else RowRange(max(int(value), 0), window.limit)
        )
    return windows
