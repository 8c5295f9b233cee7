"""The data API's one error type, the status that belongs to each code, and the shape clients read."""

from __future__ import annotations

import json
import re
from typing import Any

JSON = "application/json; charset=utf-8"
# What may stand in a header as it is; a function may raise any code.
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")

# PostgREST's own codes; what Postgres reports is mapped by `status_of_state`.
STATUS = {
    "PGRST000": 503, "PGRST001": 503, "PGRST002": 503, "PGRST003": 504,
    "PGRST100": 400, "PGRST101": 405, "PGRST102": 400, "PGRST103": 416, "PGRST105": 405, "PGRST106": 406,
    "PGRST107": 406, "PGRST108": 400, "PGRST111": 500, "PGRST112": 500, "PGRST114": 400, "PGRST115": 400,
    "PGRST116": 406, "PGRST117": 405, "PGRST118": 400, "PGRST120": 400, "PGRST121": 500, "PGRST122": 400,
    "PGRST123": 400, "PGRST124": 400, "PGRST125": 404, "PGRST126": 404, "PGRST127": 400, "PGRST128": 400,
    "PGRST200": 400, "PGRST201": 300, "PGRST202": 404, "PGRST203": 300, "PGRST204": 400, "PGRST205": 404,
    "PGRST300": 500, "PGRST301": 401, "PGRST302": 401, "PGRST303": 401,
}  # fmt: skip

EXACT_STATES = {
    "23503": 409, "23505": 409, "25006": 405, "21000": 500, "22023": 400, "53400": 500, "57P01": 503, "P0001": 400,
    "42883": 404, "42P01": 404, "42P17": 500,
}  # fmt: skip
CLASSES = {
    "08": 503, "09": 500, "0L": 403, "0P": 403, "25": 500, "28": 403, "2D": 500, "38": 500, "39": 500, "3B": 500,
    "40": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500, "P0": 500, "XX": 500,
}  # fmt: skip


class PgrstError(Exception):
    """An answer that is an error. Its message and details are written for the client."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Any = None,
        hint: Any = None,
        *,
        status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.details, self.hint = code, message, details, hint
        self.status = status if status is not None else STATUS.get(code, 400)
        self.headers = headers
        self.reason = ""  # of the status line, where it is not the usual one

    def head(self) -> list[tuple[str, str]]:
        """Return the headers."""
        proxy = [("Proxy-Status", f"PostgREST; error={self.code}")] if _CODE.fullmatch(self.code) else []
        return [("Content-Type", JSON), *proxy, *self.headers]

    def payload(self, *, minimal: bool = False) -> bytes:
        """Return the JSON body."""
        shape: dict[str, Any] = {"code": self.code, "message": self.message}
        if not minimal:
            shape = {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}
        return json.dumps(shape, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class LocksExhausted(Exception):
    """The server had no lock left, for anybody, and nothing of the request remains. fault: what to say if it lasts."""

    def __init__(self, fault: PgrstError) -> None:
        super().__init__(str(fault))
        self.fault = fault


def status_of_sqlstate(state: str, message: str, *, authenticated: bool) -> int:
    """Return the HTTP status for an SQLSTATE, as PostgREST maps them."""
    if state == "42501":
        return 403 if authenticated else 401
    if state == "21000" and message.endswith("requires a WHERE clause"):
        return 400
    if state == "22023" and message.startswith("role") and message.endswith("does not exist"):
        return 401
    if state == "42883" and message.startswith("function xmlagg("):
        return 406
    if state.startswith("PT"):
        return _status_of_raise(state[2:])
    return EXACT_STATES.get(state) or CLASSES.get(state[:2], 400)


def headers_of(status: int) -> tuple[tuple[str, str], ...]:
    """Return the headers that a status goes with."""
    if status == 401:
        return (("WWW-Authenticate", "Bearer"),)
    return (("Retry-After", "1"),) if status == 503 else ()


def _status_of_raise(digits: str) -> int:
    # RAISE SQLSTATE 'PT402' picks the status; one that HTTP does not know would break the answer.
    return int(digits) if digits.isascii() and digits.isdigit() and 200 <= int(digits) <= 599 else 500


def parse_error(message: str, details: str) -> PgrstError:
    """Return the fault for a query string that does not follow the grammar."""
    return PgrstError("PGRST100", message, details)


def body_error(message: str) -> PgrstError:
    """Return the fault for a body that cannot be taken."""
    return PgrstError("PGRST102", message)


def disconnected() -> PgrstError:
    """Return the fault of a database that cannot be connected to."""
    return PgrstError(
        "PGRST000", "Database connection error.", "Retrying the connection.", headers=(("Retry-After", "1"),)
    )
