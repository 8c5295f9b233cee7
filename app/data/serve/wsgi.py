"""From WSGI to a raw request, and from an answer to the wire: limits, CORS and the length of everything."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request, Response

from app.data.errors import PgrstError
from app.data.parse.request import RawRequest
from app.data.run.respond import DataResponse, error_response
from app.server import cors, refusals
from app.server.status_line import status_line
from config.limits import URL_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
VARY = ("Vary", "Accept, Prefer, Range")
BODY_BYTES_MAX = 10 * 1024 * 1024


class WireAnswer:
    """An answer as WSGI sends it, and an application that sends it."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, answer: DataResponse, environ: dict[str, Any], allowed_origins: tuple[str, ...]) -> None:
        """Make the answer to a request, with CORS headers where a browser asks."""
        status, is_head = answer.status, environ["REQUEST_METHOD"] == "HEAD"
        self.status = f"{status} {_as_utf8(answer.reason)}" if answer.reason else status_line(status)
        self.headers = [(name, _as_utf8(value)) for name, value in answer.headers]
        self.headers.append(VARY)
        self.headers += cors.headers(environ.get("HTTP_ORIGIN"), allowed_origins)
        has_body = status not in (204, 304) and not is_head
        if has_body:
            self.headers.append(("Content-Length", str(len(answer.body))))
        self.body = answer.body if has_body else b""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        """Send it."""
        del environ
        start(self.status, self.headers)
        return [self.body] if self.body else []


def raw_request(
    environ: dict[str, Any], below: str, *, hidden: tuple[str, ...] = (), body_bytes_max: int = BODY_BYTES_MAX
) -> RawRequest:
    """Read the request below a mount point, such as `/db/<id>`. Raises PgrstError when it is larger than allowed.

    hidden  headers, in small letters, that are left out
    """
    query = str(environ.get("QUERY_STRING", ""))
    path = _path(environ, below)
    if len(query) + len(path) > URL_BYTES_MAX:
        raise refusals.URL_TOO_LONG.fault
    method = str(environ["REQUEST_METHOD"])
    body = b"" if method in BODILESS else _body(Request(environ), body_bytes_max)
    return RawRequest(method, path, query, _headers(environ, hidden), body)


def response(answer: DataResponse, request: Request, allowed_origins: tuple[str, ...] = ()) -> Response:
    """Return the response, with CORS headers where a browser asks."""
    return as_response(WireAnswer(answer, request.environ, allowed_origins), request.environ)


def as_response(answer: WireAnswer, environ: dict[str, Any]) -> Response:
    """Return an answer as the framework's response."""
    made = Response(answer.body, answer.status)
    made.headers.clear()
    for name, value in answer.headers:
        made.headers.add(name, value)
    if environ["REQUEST_METHOD"] == "HEAD":
        made.automatically_set_content_length = False
    return made


def http_error_response(fault: PgrstError, request: Request, allowed_origins: tuple[str, ...] = ()) -> Response:
    """Return a fault as a response."""
    return response(error_response(fault, head=request.method == "HEAD"), request, allowed_origins)


def error_answer(fault: PgrstError, environ: dict[str, Any], allowed_origins: tuple[str, ...] = ()) -> WireAnswer:
    """Return a fault as an answer."""
    head = environ["REQUEST_METHOD"] == "HEAD"
    return WireAnswer(error_response(fault, head=head), environ, allowed_origins)


def decoded_path(environ: dict[str, Any]) -> str:
    """Return the path of a request, decoded."""
    return str(environ.get("PATH_INFO", "/")).encode("latin-1").decode("utf-8", "replace")


def is_preflight(environ: dict[str, Any]) -> bool:
    """Return whether a browser asks what it may do."""
    return environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ


def preflight(environ: dict[str, Any], allowed_origins: tuple[str, ...] = ()) -> WireAnswer:
    """Answer a preflight: no key is needed and no database is asked."""
    asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    return WireAnswer(DataResponse(200, cors.preflight(asked)), environ, allowed_origins)


def _path(environ: dict[str, Any], below: str) -> str:
    # The path is split before it is decoded, so that an encoded slash stays inside a name.
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "").partition("?")[0]
    if raw.startswith(f"{below}/") or raw == below:
        return raw[len(below) :] or "/"
    decoded = unquote_to_bytes(below).decode("utf-8", "replace")
    return decoded_path(environ)[len(decoded) :] or "/"


def _headers(environ: dict[str, Any], hidden: tuple[str, ...]) -> dict[str, str]:
    headers = {
        shown: value if value.isascii() and "\0" not in value else _text(value)
        for name, value in environ.items()
        if (shown := _header_name(name)) and shown not in hidden
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = str(environ[name])
    return headers


@functools.lru_cache(maxsize=1024)
def _header_name(name: str) -> str:
    return name[5:].replace("_", "-").lower() if name.startswith("HTTP_") else ""


def _text(value: str) -> str:
    # WSGI hands bytes over as latin-1; headers such as a profile may be UTF-8.
    return value.encode("latin-1", "replace").decode("utf-8", "replace").replace("\0", "")


def _as_utf8(value: str) -> str:
    # WSGI takes bytes as latin-1.
    return value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1")


def _body(request: Request, most: int) -> bytes:
    if request.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
        raise PgrstError("PGRST102", "Compressed bodies are not accepted", status=415)
    if (request.content_length or 0) > most:
        raise PgrstError("PGRST102", "The body is too large", status=413)
    read = _arrived(request, most)
    if len(read) > most:
        raise PgrstError("PGRST102", "The body is too large", status=413)
    return read


def _arrived(request: Request, most: int) -> bytes:
    length = request.content_length
    try:
        read = bytes(request.stream.read(most + 1) if length is None else request.get_data(cache=False))
    except TimeoutError:
        raise _cut_off(refusals.NOT_IN_TIME.fault) from None
    except (OSError, ParseException, ClientDisconnected):  # the client hung up, or its chunks are not chunks
        raise _cut_off(PgrstError("PGRST102", "The body ended early")) from None
    # The server ends the stream where the client does. A part of a body may be good CSV, and is not what was sent.
    if length is not None and len(read) < length:
        raise _cut_off(PgrstError("PGRST102", "The body ended early"))
    return read


def _cut_off(fault: PgrstError) -> PgrstError:
    """Return a fault after which nobody knows where the next request begins."""
    fault.headers = (*fault.headers, ("Connection", "close"))
    return fault
