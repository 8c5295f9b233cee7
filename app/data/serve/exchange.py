"""The one way from an HTTP request to an instance's answer, in the platform's process and in one of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from app.data.errors import PgrstError
from app.data.serve import api_key, wsgi
from app.data.serve.origin import isolated

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Request, Response

    from app.data.config import DataConfig
    from app.data.run.instance import Instance


class Mount(NamedTuple):
    """Where a data API is found.

    below   the path before its own
    gated   whether it needs an API key
    hidden  headers of our own, in small letters, that no statement may see
    shared  whether the platform's pages have the same address
    """

    below: str = ""
    gated: bool = False
    hidden: tuple[str, ...] = ()
    shared: bool = False


def exchange(
    request: Request,
    mount: Mount,
    instance: Instance | None,
    *,
    wait: Callable[[], Instance],
    count: Callable[[Instance], None],
) -> Response:
    """Return the response to a request; whatever is wrong with it is an answer in the data API's words.

    instance  what serves the project now
    wait      returns what comes to serve it where nothing does now; raises PgrstError when nothing does
    count     counts the request; raises PgrstError when there were too many
    """
    origins = () if instance is None else instance.config.server_cors_allowed_origins
    if wsgi.is_preflight(request):
        return wsgi.preflight(request, origins)
    try:
        if instance is None:
            instance = wait()
        count(instance)
        config = instance.config
        raw = wsgi.raw_request(request, mount.below, body_bytes_max=config.launchdb_body_bytes_max)
        if mount.hidden:
            raw = replace(raw, headers={name: value for name, value in raw.headers.items() if name not in mount.hidden})
        answer = instance.answer(api_key.authenticate_by_api_key(raw, config) if mount.gated else raw)
    except PgrstError as fault:
        return wsgi.http_error_response(fault, request, origins)
    if mount.shared:
        answer = isolated(answer)
    return _traced(wsgi.response(answer, request, origins), request, config)


def _traced(response: Response, request: Request, config: DataConfig) -> Response:
    name = config.server_trace_header
    if name and request.headers.get(name):
        response.headers[name] = request.headers[name]
    return response
