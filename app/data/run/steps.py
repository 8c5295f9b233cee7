"""The statements of a pipeline, written as the server reads them."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from app.data.run.prepared import LONGEST_BYTES

if TYPE_CHECKING:
    from psycopg import sql

_PLACEHOLDER = re.compile(r"%(?:%|\((\w+)\)s)")


class PipelineStep(NamedTuple):
    """One statement: its text with $1, $2, …, and their values.

    keep: it will come again, so it may be prepared. is_binary: its row is to come as bytes, not as texts.
    """

    text: bytes
    values: tuple[bytes | None, ...] = ()
    keep: bool = False
    is_binary: bool = False


def make_step(text: sql.Composable, values: dict[str, object] | None = None, *, keep: bool = False) -> PipelineStep:
    """Write a statement with named placeholders as the server reads it. Raises psycopg.DataError for its values."""
    whole = text.as_string(None)
    written, names = _numbered(whole) if len(whole) <= LONGEST_BYTES else _numbered.__wrapped__(whole)
    return PipelineStep(written, tuple(encode_parameter((values or {})[name]) for name in names), keep)


@functools.lru_cache(maxsize=512)
def _numbered(text: str) -> tuple[bytes, tuple[str, ...]]:
    names: dict[str, int] = {}

    def written(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}" if found[1] else "%"

    return _PLACEHOLDER.sub(written, text).encode(), tuple(names)


def encode_parameter(value: object) -> bytes | None:
    """Return a value as the text of a parameter, bytes as that of a bytea. Raises psycopg.DataError for no text."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    try:
        raw = str(value).encode()
    except UnicodeEncodeError as error:
        raise psycopg.DataError("a text is not Unicode") from error
    if b"\0" in raw:
        raise psycopg.DataError("a text holds a zero byte")
    return raw
