"""What functions say of the answer: a raised fault, `response.headers`, `response.status`; looked at before it is one.

Whatever stands there, the answer is whole: nothing of it begins another header, ends the head, or is no status.
"""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg

from app.data.errors import PgrstError, headers_of, status_of_sqlstate
from app.data.parse.body import DEPTH_MAX, nesting_depth
from app.data.run.pipeline import WORN_BYTES, AnswerTooLarge
from app.data.sql.answer_sql import TOO_LARGE

# What ends a request: what is below is no answer yet, what is beyond no client's.
STATUSES = range(200, 600)
HEADERS_MAX, HEADER_BYTES_MAX = 100, 8192  # all of them together; clients take 16 KiB of a head
REASON_MAX = 256
# What tells where an answer ends is the server's own.
_FRAMING = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_STATUS = re.compile(r"[0-9]{3}")
_BROKEN = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"
_MESSAGE_HINT = (
    "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'."
)
_DETAIL_HINT = "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."
_STATUS_HINT = "'status' must be a whole number from 200 to 599."
_HEADERS_HINT = (
    "'headers' must be an object of valid header names and values, of 8 KiB at most, and 'status_text' one "
    "line of 256 bytes at most."
)


def error_of_postgres(error: psycopg.Error, *, authenticated: bool) -> PgrstError:
    """Translate what Postgres reports into the error shape; what the driver says itself stays inside."""
    state, diagnosis = error.sqlstate, error.diag
    if state is None:
        return _error_of_driver(error)
    message = diagnosis.message_primary or ""
    if (state == "22P02" and TOO_LARGE in message) or len(str(error)) > WORN_BYTES:
        return _too_large()
    if state == "PGRST":
        return error_of_raise(message, diagnosis.message_detail)
    if state.startswith("PT"):
        return error_of_pt_state(state, message, diagnosis.message_detail, diagnosis.message_hint)
    status = status_of_sqlstate(state, message, authenticated=authenticated)
    headers = headers_of(status)
    return PgrstError(state, message, diagnosis.message_detail, diagnosis.message_hint, status=status, headers=headers)


def _error_of_driver(error: psycopg.Error) -> PgrstError:
    if isinstance(error, AnswerTooLarge):
        return _too_large()
    if isinstance(error, psycopg.DataError):
        return PgrstError("22021", "A value cannot be represented in the database's encoding", status=400)
    return PgrstError("PGRST001", "Database client error. Retrying the connection.", headers=(("Retry-After", "1"),))


def _too_large() -> PgrstError:
    hint = "Ask for fewer rows or columns; the limit is launchdb-answer-bytes-max."
    return PgrstError("54000", "The answer is larger than allowed", None, hint, status=400)


def error_of_raise(message: str, detail: str | None) -> PgrstError:
    """Return the fault that `RAISE SQLSTATE 'PGRST'` describes, or PGRST121 that says what is wrong with it."""
    said = _object(message)
    if said is None or not _is_text(said, "code", "message") or not _is_optional(said, "details", "hint"):
        return PgrstError("PGRST121", _BROKEN, f"Invalid JSON value for MESSAGE: '{message}'", _MESSAGE_HINT)
    if detail is None:
        return PgrstError("PGRST121", _BROKEN, "DETAIL is missing in the RAISE statement", _DETAIL_HINT)
    how = _object(detail)
    if how is None or not isinstance(how.get("headers"), dict) or not _is_optional(how, "status_text"):
        return _invalid(detail, _DETAIL_HINT)
    asked = how.get("status")
    if isinstance(asked, bool) or not isinstance(asked, (int, float)) or asked not in STATUSES:
        return _invalid(detail, _STATUS_HINT)
    given, reason = list(how["headers"].items()), how.get("status_text") or ""
    if not _are_headers(given) or not _is_reason(reason):
        return _invalid(detail, _HEADERS_HINT)
    found = PgrstError(said["code"], said["message"], said.get("details"), said.get("hint"), status=int(asked))
    found.headers, found.reason = _unframed(given), reason
    return found


def error_of_pt_state(state: str, message: str, detail: str | None, hint: str | None) -> PgrstError:
    """Return the fault of an SQLSTATE such as `PT402`: its status, and its message as the phrase where fit."""
    status = status_of_sqlstate(state, message, authenticated=True)
    found = PgrstError(state, message, detail, hint, status=status, headers=headers_of(status))
    found.reason = message if state.endswith(str(status)) and _is_reason(message) else ""
    return found


def response_headers(text: bytes) -> list[tuple[str, str]]:
    """Return the headers of `response.headers`. Raises PgrstError (PGRST111)."""
    wrong = PgrstError(
        "PGRST111",
        "response.headers guc must be a JSON array composed of objects with a single key and a string value",
    )
    entries = _json(text.decode("utf-8", "replace"))
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and len(entry) == 1 for entry in entries):
        raise wrong
    given = [next(iter(entry.items())) for entry in entries]
    if not _are_headers(given):
        raise wrong
    return list(_unframed(given))


def response_status(text: bytes) -> int:
    """Return the status of `response.status`. Raises PgrstError (PGRST112)."""
    said = text.decode("utf-8", "replace")
    if not _STATUS.fullmatch(said) or int(said) not in STATUSES:
        raise PgrstError("PGRST112", "response.status guc must be a valid status code")
    return int(said)


def _json(text: str) -> Any:
    try:
        return json.loads(text) if nesting_depth(text) <= DEPTH_MAX else None
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> dict[str, Any] | None:
    found = _json(text)
    return found if isinstance(found, dict) else None


def _is_text(found: dict[str, Any], *names: str) -> bool:
    return all(isinstance(found.get(name), str) for name in names)


def _is_optional(found: dict[str, Any], *names: str) -> bool:
    return all(found.get(name) is None or isinstance(found[name], str) for name in names)


def _are_headers(given: list[tuple[str, Any]]) -> bool:
    if not all(isinstance(value, str) and _NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in given):
        return False
    size = sum(len(f"{name}: {value}\r\n".encode()) for name, value in given)
    return len(given) <= HEADERS_MAX and size <= HEADER_BYTES_MAX


def _is_reason(text: str) -> bool:
    return _VALUE.fullmatch(text) is not None and len(text.encode()) <= REASON_MAX


def _unframed(given: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in given if name.lower() not in _FRAMING)


def _invalid(detail: str, hint: str) -> PgrstError:
    return PgrstError("PGRST121", _BROKEN, f"Invalid JSON value for DETAIL: '{detail}'", hint)
