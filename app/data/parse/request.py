"""An HTTP request, read: what is asked for, of what, in which schema, with which body."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlencode

from app.data.errors import PgrstError
from app.data.names import Name
from app.data.parse import body, media, preferences, querystring
from app.data.parse.terms import ALL, RowRange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.data.config import DataConfig
    from app.data.parse.media import Media
    from app.data.parse.preferences import Preferences
    from app.data.parse.terms import Query

TABLE, ROUTINE, ROOT = "table", "routine", "root"
METHODS = {
    TABLE: ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
    ROUTINE: ("GET", "HEAD", "POST", "OPTIONS"),
    ROOT: ("GET", "HEAD", "OPTIONS"),
}
_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{0,18})")


@dataclass(frozen=True)
class RawRequest:
    """A request as it came: the path below the API's root, undecoded."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Shape:
    """A request without its values, as `app.data.parse.shapes` reads it.

    key        equal for requests of the same shape
    literals   its values: a text, or the list of `in`
    pairs      the query with a mark for each of the values
    canonical  the query as answers repeat it
    """

    key: tuple[object, ...]
    literals: tuple[str | tuple[str, ...], ...] = field(compare=False, repr=False)
    pairs: tuple[tuple[str, str], ...] = field(compare=False)
    canonical: str = field(compare=False, repr=False)

    def marked(self, raw: RawRequest) -> RawRequest:
        """Return the request with marks in the place of its values."""
        return replace(raw, query=urlencode(self.pairs))


@dataclass(frozen=True)
class Request:
    """A request as it is understood. shape: where there is one, the query holds marks in the place of values."""

    raw: RawRequest
    resource: str
    target: Name
    negotiated: bool
    query: Query
    window: RowRange
    preferences: Preferences
    accepts: list[Media]
    content: str
    payload: body.Payload | None
    shape: Shape | None = None

    @property
    def method(self) -> str:
        """Return the method."""
        return self.raw.method

    @property
    def canonical(self) -> str:
        """Return the query as answers repeat it."""
        return self.query.canonical if self.shape is None else self.shape.canonical

    @property
    def is_read(self) -> bool:
        """Return whether the request only reads."""
        return self.method in ("GET", "HEAD")


class ReadBody(Protocol):
    """Reads a body of a media type, here or elsewhere, as `app.data.parse.body.read` does."""

    def __call__(self, raw: bytes, kind: str, columns: tuple[str, ...] | None, *, routine: bool) -> body.Payload:
        """Read it. Raises PgrstError."""


def read(raw: RawRequest, config: DataConfig, read_body: ReadBody = body.read) -> Request:
    """Understand a request. Raises PgrstError."""
    resource, name = _resource(raw, config)
    schema, negotiated = _schema(raw, config)
    _check_method(resource, raw.method)
    query = querystring.read(raw.query, arguments=resource == ROUTINE and raw.method in ("GET", "HEAD"))
    window = _window(raw, query)
    content = media.read(raw.headers.get("content-type", media.JSON)).kind
    payload = None
    if raw.method in ("POST", "PUT", "PATCH"):
        columns = query.columns if raw.method != "PUT" else None
        payload = read_body(raw.body, content, columns, routine=resource == ROUTINE)
    return Request(
        raw,
        resource,
        Name(schema, name),
        negotiated,
        query,
        window,
        preferences.read(raw.headers.get("prefer"), may_override_end=config.may_override_end),
        media.parse_accept(raw.headers.get("accept")),
        content,
        payload,
    )


def request_settings(given: Mapping[str, str]) -> tuple[str, str]:
    """Return headers, and their cookies, as JSON, which SQL reads as request.headers and request.cookies."""
    headers = {name: value for name, value in given.items() if name != "cookie"}
    cookies: dict[str, str] = {}
    if "cookie" in given:
        with suppress(CookieError):
            cookies = {name: morsel.value for name, morsel in SimpleCookie(given["cookie"]).items()}
    return json.dumps(headers, ensure_ascii=False), json.dumps(cookies, ensure_ascii=False)


def _resource(raw: RawRequest, config: DataConfig) -> tuple[str, str]:
    parts = [unquote(part, errors="replace") for part in raw.path.split("/") if part]
    if any("\0" in part for part in parts):
        raise PgrstError("PGRST125", "Invalid path specified in request URL")
    if not parts:
        if config.openapi_mode == "disabled":
            raise PgrstError("PGRST126", "Root endpoint metadata is disabled")
        return (ROUTINE, config.db_root_spec.rpartition(".")[2]) if config.db_root_spec else (ROOT, "")
    if len(parts) == 1:
        return TABLE, parts[0]
    if len(parts) == 2 and parts[0] == "rpc":
        return ROUTINE, parts[1]
    raise PgrstError("PGRST125", "Invalid path specified in request URL")


def _check_method(resource: str, method: str) -> None:
    if method in METHODS[resource]:
        return
    if resource == ROUTINE:
        raise PgrstError("PGRST101", f"Cannot use the {method} method on RPC")
    raise PgrstError("PGRST117", f"Unsupported HTTP method: {method}")


def _schema(raw: RawRequest, config: DataConfig) -> tuple[str, bool]:
    header = "content-profile" if raw.method in ("POST", "PUT", "PATCH", "DELETE") else "accept-profile"
    wanted = raw.headers.get(header)
    if wanted is None:
        return config.db_schemas[0], len(config.db_schemas) > 1
    wanted = wanted.strip()
    if wanted not in config.db_schemas:
        known = ", ".join(config.db_schemas)
        raise PgrstError(
            "PGRST106", f"Invalid schema: {wanted}", None, f"Only the following schemas are exposed: {known}"
        )
    return wanted, True


def _window(raw: RawRequest, query: Query) -> RowRange:
    given = query.windows.get((), ALL)
    if given.limit is not None and given.limit < 0:
        raise _unsatisfiable("Limit should be greater than or equal to zero.")
    ranged = ALL
    match = _RANGE.fullmatch(raw.headers.get("range", "").strip()) if raw.method == "GET" else None
    if match is not None:
        lower, upper = int(match[1]), int(match[2]) if match[2] else None
        if upper is not None and upper < lower:
            raise _unsatisfiable(
                "The lower boundary must be lower than or equal to the upper boundary in the Range header."
            )
        ranged = RowRange(lower, None if upper is None else upper - lower + 1)
    both = _both(given, ranged)
    if raw.method == "PUT" and not both.is_all:
        raise PgrstError("PGRST114", "limit/offset querystring parameters are not allowed for PUT")
    query.windows[()] = both
    return both


def _both(one: RowRange, two: RowRange) -> RowRange:
    if one.limit == 0 or two.is_all:
        return one
    offset = max(one.offset, two.offset)
    ends = [window.offset + window.limit for window in (one, two) if window.limit is not None]
    return RowRange(offset, max(min(ends) - offset, 0) if ends else None)


def _unsatisfiable(details: str) -> PgrstError:
    return PgrstError("PGRST103", "Requested range not satisfiable", details)
