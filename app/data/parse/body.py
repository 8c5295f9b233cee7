"""Request bodies: strictly read, and the keys that become columns or arguments."""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from app.data.errors import body_error
from app.data.parse import media

DEPTH_MAX = 100
DIGITS_MAX = 1000
NOT_JSON = "Empty or invalid json"
# A string, whatever it holds, also one that does not end: nothing of the text is looked at twice.
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_UP_AND_DOWN = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


@dataclass(frozen=True)
class Payload:
    """A body: the text handed to Postgres, its keys, and the pairs of a form."""

    text: str | bytes
    keys: tuple[str, ...] = ()
    is_object: bool = False
    pairs: tuple[tuple[str, str], ...] = ()


def read(raw: bytes, kind: str, columns: tuple[str, ...] | None, *, routine: bool) -> Payload:
    """Read a body of a media type. Raises PgrstError (PGRST102)."""
    if kind == media.JSON:
        return _json(raw, columns, routine=routine)
    if kind == media.CSV:
        return _csv(raw)
    if kind == media.FORM:
        pairs = tuple(_form(raw))
        text = json.dumps(dict(pairs))
        return Payload(text, tuple(dict(pairs)), is_object=True, pairs=pairs)
    if routine and kind == media.OCTETS:
        return Payload(raw)
    if routine and kind in (media.TEXT, media.XML):
        return Payload(_text(raw))
    raise body_error(f"Content-Type not acceptable: {kind}")


def parse_json(raw: bytes) -> tuple[str, Any]:
    """Return a JSON text and its value. Refuses what Postgres could not keep or two readers would read differently."""
    text = _text(raw)
    if nesting_depth(text) > DEPTH_MAX:
        raise body_error("The json is nested too deeply")
    try:
        value = json.loads(text, parse_constant=_refuse, parse_int=_integer, object_pairs_hook=_object)
        json.dumps(value, ensure_ascii=False).encode() if "\\u" in text else None
    except (ValueError, RecursionError):
        raise body_error(NOT_JSON) from None
    if "\\u0000" in text and "\0" in json.dumps(value, ensure_ascii=False).replace("\\u0000", "\0"):
        raise body_error("The json holds a NUL character, which Postgres has no text for")
    return text, value


def _json(raw: bytes, columns: tuple[str, ...] | None, *, routine: bool) -> Payload:
    if not raw and routine:
        return Payload("{}", is_object=True)
    text, value = parse_json(raw)
    if columns is not None:
        return Payload(text, columns, isinstance(value, dict))
    if isinstance(value, dict):
        return Payload(text, tuple(sorted(value)), is_object=True)
    if not isinstance(value, list) or not value:
        return Payload("[]")
    keys = value[0].keys() if isinstance(value[0], dict) else None
    if keys is None or any(not isinstance(row, dict) or row.keys() != keys for row in value):
        raise body_error("All object keys must match")
    return Payload(text, tuple(sorted(keys)))


def _csv(raw: bytes) -> Payload:
    rows = [row for row in csv.reader(io.StringIO(_text(raw), newline=""), strict=False) if row]
    if not rows:
        raise body_error("not enough input")
    header, *lines = rows
    if any(len(line) != len(header) for line in lines):
        raise body_error("All lines must have same number of fields")
    table = [
        {name: None if cell == "NULL" else cell for name, cell in zip(header, line, strict=True)} for line in lines
    ]
    return Payload(json.dumps(table), tuple(sorted(header)))


def _form(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(_text(raw), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise body_error("The form cannot be read") from None


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise body_error("The body is not UTF-8") from None
    if "\0" in text:
        raise body_error("The body holds a NUL character, which Postgres has no text for")
    return text


def nesting_depth(text: str) -> int:
    """Return how deeply a JSON text is nested; 0 where it cannot be more than DEPTH_MAX.

    Counted before parsing, because the parser itself would run out of stack, and in the time that it takes to read.
    """
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return 0
    plain = _QUOTED.sub("", text).encode("utf-8", "replace")
    return max(accumulate(array("b", plain.translate(_UP_AND_DOWN, _NO_BRACKETS))), default=0)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _integer(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise ValueError("too many digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
