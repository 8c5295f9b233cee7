"""The one strict JSON reader: what it lets pass is an object that every later layer can hold."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import ParseException

from app.http.problems import Problem, invalid

if TYPE_CHECKING:
    from flask import Request

DEEPEST = 32
# More than any operation takes. Each is looked at, while others wait for the interpreter.
VALUES_MAX = 20_000
_SURROGATE = re.compile("[\ud800-\udfff]")
_GREATEST = 2**63


def read(request: Request, *, most: int) -> dict[str, Any] | None:
    """Return the request's JSON object; None when there is no body at all. most: in bytes.

    Raises Problem: 413 too large, 415 another media type or an encoding, 400 no JSON or too much of it, 422 no object
    or unfit text.
    """
    raw = _raw(request, most)
    if not raw:
        return None
    if request.mimetype != "application/json" or request.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
        raise Problem(415, "unsupported-media-type", "send application/json in UTF-8")
    value = parse(raw)
    if not isinstance(value, dict):
        raise invalid("", "must be a JSON object")
    return value


def parse(raw: bytes) -> Any:
    """Return the value of a JSON text. Raises Problem."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except UnicodeDecodeError:
        raise _broken("the body is not UTF-8") from None
    except RecursionError:
        raise _broken("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _broken(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    _check(value)
    return value


def _raw(request: Request, most: int) -> bytes:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported-encoding", "send the body without Content-Encoding")
    # The rest of a refused body is not read; the connection ends with the answer.
    too_large = Problem(413, "too-large", f"a body has at most {most} bytes", headers={"Connection": "close"})
    if (request.content_length or 0) > most:
        raise too_large
    try:
        raw = request.environ["wsgi.input"].read(most + 1) if _has_body(request) else b""
    except (OSError, ParseException):  # the client hung up, or its chunks are not chunks
        raise Problem(400, "broken-body", "the body ended early", headers={"Connection": "close"}) from None
    if len(raw) > most:
        raise too_large
    return bytes(raw)


def _has_body(request: Request) -> bool:
    return bool(request.content_length) or bool(request.environ.get("wsgi.input_terminated"))


def _check(value: Any) -> None:
    """Walk through the value without recursion: depth, and text that neither UTF-8 nor Postgres can hold."""
    left: list[tuple[Any, str, int]] = [(value, "", 1)]
    count = 0
    while left:
        count += 1
        if count > VALUES_MAX:
            raise _broken(f"the JSON has more than {VALUES_MAX} values")
        item, pointer, depth = left.pop()
        if depth > DEEPEST:
            raise _broken("the JSON is nested too deeply")
        if isinstance(item, str):
            _check_text(item, pointer)
        elif isinstance(item, dict):
            for name in item:
                _check_text(name, pointer)
            left += [(member, f"{pointer}/{_escaped(name)}", depth + 1) for name, member in item.items()]
        elif isinstance(item, list):
            left += [(member, f"{pointer}/{place}", depth + 1) for place, member in enumerate(item)]


def _check_text(text: str, pointer: str) -> None:
    if "\0" in text:
        raise invalid(pointer, "must not contain the character U+0000")
    if _SURROGATE.search(text):
        raise invalid(pointer, "must not contain a lone surrogate")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _broken("a member is there twice")
    return found


def _constant(_text: str) -> Any:
    raise _broken("NaN and Infinity are not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _broken("a number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > len(str(_GREATEST)) or not -_GREATEST <= (value := int(text)) < _GREATEST:
        raise _broken("a number is too large")
    return value


def _broken(detail: str) -> Problem:
    return Problem(400, "broken-json", detail)
