"""What requests have in common that differ in values alone: one shape, one plan.

A shape is read off the text of a request, without understanding it. That what is planned for it depends on none of the
values is not assumed but made so: it is planned with marks in the place of the values, and is of use only if each mark
comes out as a parameter, or as the text of one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote_plus

from app.data.errors import PgrstError
from app.data.parse import filters
from app.data.parse.querystring import PARAMETERS_MAX, RESERVED, SUFFIXES
from app.data.parse.request import Shape

if TYPE_CHECKING:
    from app.data.parse.body import Payload
    from app.data.parse.request import RawRequest

# A longer query is rarely asked twice, and what is kept of it would be large.
LONGEST_QUERY = 2048
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"})
# What a request is understood by besides its line and its body. A range counts with GET alone.
HEADERS = ("accept", "prefer", "content-type", "accept-profile", "content-profile", "range")
# Operators whose operand goes to Postgres as it is.
_PLAIN = re.compile(
    r"((?:not\.)?(eq|gte|gt|lte|lt|like|ilike|match|imatch|neq|cs|cd|ov|sl|sr|nxr|nxl|adj|isdistinct)\.)(.*)",
    re.DOTALL,
)
_LIST = re.compile(r"((?:not\.)?in\.)\s*\(", re.DOTALL)
_PATTERNS = frozenset({"like", "ilike"})
# No operator begins so, no list ends within, and no client can have meant it.
_SIGN = "\ue000"
_MARK = f"{_SIGN}launchdb {{}}{_SIGN}"


def shape_of(raw: RawRequest, *, called: bool) -> Shape | None:
    """Return the shape of a request, or None where it has none that is worth knowing.

    called  a function is, so that what is no filter is an argument
    """
    if raw.method not in METHODS or len(raw.query) > LONGEST_QUERY:
        return None
    try:
        pairs = parse_qsl(raw.query, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        return None
    literals: list[str | tuple[str, ...]] = []
    marked = []
    for name, value in pairs:
        found = _marked(name, value, literals, called=called and raw.method in ("GET", "HEAD"))
        if found is None:
            return None
        marked.append((name, found))
    held = raw.headers
    canonical = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(pairs, key=_first))
    key = (raw.method, raw.path, *marked, *(held.get(name) for name in HEADERS))
    return Shape(key, tuple(literals), tuple(marked), canonical)


def marked_body(payload: Payload) -> Payload | None:
    """Return a body with a mark in the place of its text, or None where more of it counts than its keys."""
    if payload.pairs or not isinstance(payload.text, str):
        return None
    # Whether it is an object is seen by how it begins.
    begins = "{" if payload.text.lstrip().startswith("{") else ""
    return replace(payload, text=f"{begins}{_MARK.format('body')}")


def _first(pair: tuple[str, str]) -> str:
    return pair[0]


def mark_of(number: int) -> str:
    """Return what stands for the value of this place."""
    return _MARK.format(number)


def has_mark(text: str) -> bool:
    """Return whether a text holds a mark, or a part of one."""
    return _SIGN in text


def _marked(key: str, value: str, literals: list[str | tuple[str, ...]], *, called: bool) -> str | None:
    """Return what stands for a value in its shape, its literal noted; None where that cannot be told."""
    if "\0" in value or "\0" in key or has_mark(value) or has_mark(key):
        return None
    if key in RESERVED or key.rpartition(".")[2] in SUFFIXES:
        return value
    before, literal, after = _split(value, called=called)
    if literal is None:
        return before
    literals.append(literal)
    return f"{before}{mark_of(len(literals) - 1)}{after}"


def _split(value: str, *, called: bool) -> tuple[str, str | tuple[str, ...] | None, str]:
    """Return what stands before a literal, the literal, and what stands behind it; without one all stands before."""
    plain = _PLAIN.fullmatch(value)
    if plain is not None:
        return plain[1], plain[3].replace("*", "%") if plain[2] in _PATTERNS else plain[3], ""
    listed = _LIST.match(value)
    if listed is not None and _is_operation(value):
        return f"{listed[1]}(", filters.read_operation(value).values, ")"
    if called and not _is_operation(value):
        return "", value, ""
    return value, None, ""


def _is_operation(value: str) -> bool:
    try:
        filters.read_operation(value)
    except PgrstError:
        return False
    return True
