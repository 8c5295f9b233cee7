"""The one way from an HTTP request to an instance's answer, in the platform's process and in one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.data.errors import PgrstError
from app.data.serve import api_key, wsgi
from app.data.serve.origin import isolated

if TYPE_CHECKING:
    from collections.abc import Callable

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
    environ: dict[str, Any],
    mount: Mount,
    instance: Instance | None,
    *,
    wait: Callable[[], Instance],
    count: Callable[[Instance], None],
) -> wsgi.WireAnswer:
    """Return the answer to a request; whatever is wrong with it is an answer in the data API's words.

    instance  what serves the project now
    wait      returns what comes to serve it where nothing does now; raises PgrstError when nothing does
    count     counts the request; raises PgrstError when there were too many
    """
    origins = () if instance is None else instance.config.server_cors_allowed_origins
    if wsgi.is_preflight(environ):
        return wsgi.preflight(environ, origins)
    try:
        if instance is None:
            instance = wait()
        count(instance)
        config = instance.config
        raw = wsgi.raw_request(environ, mount.below, hidden=mount.hidden, body_bytes_max=config.launchdb_body_bytes_max)
        answer = instance.answer(api_key.authenticate_by_api_key(raw, config) if mount.gated else raw)
    except PgrstError as fault:
        return wsgi.error_answer(fault, environ, origins)
    if mount.shared:
        answer = isolated(answer)
    return _traced(wsgi.WireAnswer(answer, environ, origins), environ, config)


def _traced(made: wsgi.WireAnswer, environ: dict[str, Any], config: DataConfig) -> wsgi.WireAnswer:
    name = config.server_trace_header
    if name and (given := environ.get(f"HTTP_{name.upper().replace('-', '_')}")):
        made.headers = [header for header in made.headers if header[0].lower() != name.lower()] + [(name, given)]
    return made
