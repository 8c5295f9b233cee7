"""The administration of a data API in a process of its own: what it is doing, for whoever runs it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from app.data.config_text import dumped
from app.data.errors import PgrstError
from app.server.status_line import status_line
from infra.sockets import is_listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.data.config import DataConfig
    from app.data.plan.schema import SchemaCache
    from app.data.run.instance import Instance

JSON, TEXT = "application/json; charset=utf-8", "text/plain; charset=utf-8"


def create_admin(instance: Callable[[], Instance]) -> Callable[..., Iterable[bytes]]:
    """Return the admin application.

    /live says that the process serves, /ready that its database does too; /metrics, /schema_cache and /config show
    numbers, what is planned against, and the options, without secrets.
    """

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        status, kind, text = _answer(environ["PATH_INFO"], instance())
        return Response(text, status=status_line(status), content_type=kind)(environ, start)

    return app


def _answer(path: str, instance: Instance) -> tuple[int, str, str]:
    if path in ("/live", "/ready") and not _listens(instance.config):
        return 500, TEXT, ""
    if path in ("/ready", "/schema_cache"):
        return _ready(path, instance)
    told = {"/live": _nothing, "/metrics": _metrics, "/config": _options}
    return (200, TEXT, told[path](instance)) if path in told else (404, TEXT, "")


def _nothing(_instance: Instance) -> str:
    return ""


def _ready(path: str, instance: Instance) -> tuple[int, str, str]:
    try:
        cache = instance.ready()
    except PgrstError:
        return 503, TEXT, ""
    return (200, TEXT, "") if path == "/ready" else (200, JSON, schema_text(cache))


def _options(instance: Instance) -> str:
    return dumped(instance.config, with_secrets=False)


def _listens(config: DataConfig) -> bool:
    """Return whether clients can reach the server's socket, which somebody may have taken away."""
    place = config.server_unix_socket
    return not place or is_listening(Path(place))


def schema_text(cache: SchemaCache) -> str:
    """Return as JSON what requests are planned against."""
    return json.dumps(
        {
            "dbTables": [asdict(each) for each in cache.tables.values()],
            "dbRelationships": [asdict(each) for several in cache.relationships.values() for each in several],
            "dbRoutines": [asdict(each) for several in cache.routines.values() for each in several],
            "dbMediaHandlers": [asdict(each) for each in cache.handlers.values()],
            "stamp": cache.stamp,
        },
        ensure_ascii=False,
    )


def _metrics(instance: Instance) -> str:
    pool, counters = instance.pool, instance.pool.counters
    told = (
        ("pgrst_schema_cache_query_time_seconds", "gauge", "Time of the last read of the catalogue", counters.seconds),
        ("pgrst_schema_cache_loads_total", "counter", "Reads of the catalogue", counters.loads),
        ("pgrst_db_pool_timeouts_total", "counter", "Requests that got no connection in time", counters.timeouts),
        ("pgrst_db_pool_available", "gauge", "Connections that are idle", pool.idle),
        ("pgrst_db_pool_open", "gauge", "Connections that are open", pool.opened),
        ("pgrst_db_pool_waiting", "gauge", "Requests that wait for a connection", counters.waiting),
        ("pgrst_db_pool_max", "gauge", "Most connections", instance.config.db_pool),
    )
    lines = []
    for name, kind, said, value in told:
        lines += [f"# HELP {name} {said}", f"# TYPE {name} {kind}"]
        values = value if isinstance(value, dict) else {"": value}
        lines += [f'{name}{{status="{label}"}} {each}' if label else f"{name} {each}" for label, each in values.items()]
    return "\n".join([*lines, ""])
