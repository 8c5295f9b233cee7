"""From WSGI to a raw request, and from an answer to Flask's response: limits, CORS and the length of everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Response

from app.data.errors import PgrstError
from app.data.parse.request import RawRequest
from app.data.run.respond import DataResponse, error_response
from app.server import cors, refusals
from app.server.status_line import status_line
from config.limits import URL_BYTES_MAX

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

BODY_BYTES_MAX = 10 * 1024 * 1024


def raw_request(request: Request, below: str, *, body_bytes_max: int = BODY_BYTES_MAX) -> RawRequest:
    """Read the request below a mount point, such as `/db/<id>`. Raises PgrstError when it is larger than allowed."""
    environ = request.environ
    query = str(environ.get("QUERY_STRING", ""))
    path = _path(environ, below)
    if len(query) + len(path) > URL_BYTES_MAX:
        raise refusals.URL_TOO_LONG.fault
    return RawRequest(str(environ["REQUEST_METHOD"]), path, query, _headers(environ), _body(request, body_bytes_max))


def response(answer: DataResponse, request: Request, allowed_origins: tuple[str, ...] = ()) -> Response:
    """Return the response, with CORS headers where a browser asks."""
    headers = [
        *answer.headers,
        ("Vary", "Accept, Prefer, Range"),
        *cors.headers(request.headers.get("Origin"), allowed_origins),
    ]
    made = Response(
        answer.body, f"{answer.status} {_as_utf8(answer.reason)}" if answer.reason else status_line(answer.status)
    )
    made.headers.clear()
    for name, value in headers:
        made.headers.add(name, _as_utf8(value))
    if answer.status not in (204, 304):
        made.headers["Content-Length"] = str(len(answer.body))
    if request.method == "HEAD":
        made.headers.pop("Content-Length", None)
        made.automatically_set_content_length = False
    return made


def http_error_response(fault: PgrstError, request: Request, allowed_origins: tuple[str, ...] = ()) -> Response:
    """Return a fault as a response."""
    return response(error_response(fault, head=request.method == "HEAD"), request, allowed_origins)


def is_preflight(request: Request) -> bool:
    """Return whether a browser asks what it may do."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def preflight(request: Request, allowed_origins: tuple[str, ...] = ()) -> Response:
    """Answer a preflight: no key is needed and no database is asked."""
    asked = request.headers.get("Access-Control-Request-Headers")
    return response(DataResponse(200, cors.preflight(asked)), request, allowed_origins)


def _path(environ: dict[str, Any], below: str) -> str:
    # The path is split before it is decoded, so that an encoded slash stays inside a name.
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "").partition("?")[0]
    if raw.startswith(f"{below}/") or raw == below:
        return raw[len(below) :] or "/"
    plain = str(environ.get("PATH_INFO", "/")).encode("latin-1").decode("utf-8", "replace")
    decoded = unquote_to_bytes(below).decode("utf-8", "replace")
    return plain[len(decoded) :] or "/"


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    headers = {
        name[5:].replace("_", "-").lower(): _text(str(value))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = str(environ[name])
    return headers


def _text(value: str) -> str:
    # WSGI hands bytes over as latin-1; headers such as a profile may be UTF-8.
    return value.encode("latin-1", "replace").decode("utf-8", "replace").replace("\0", "")


def _as_utf8(value: str) -> str:
    # WSGI takes bytes as latin-1.
    return value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1")


def _body(request: Request, most: int) -> bytes:
    if request.method in ("GET", "HEAD", "OPTIONS", "DELETE"):
        return b""
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
