"""`launchdb serve data` with PGRST_* variables: one database at `/`, without a home and without a platform."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from gunicorn.app.base import BaseApplication

from app.data import config, wire
from app.data.connections import Budget
from app.data.faults import Fault
from app.data.instance import Instance
from app.data.listener import Listener
from infra.activity import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ADDRESSES = {"!4": "0.0.0.0", "*4": "0.0.0.0", "!6": "[::]", "*6": "[::]", "*": "0.0.0.0"}  # noqa: S104 - PostgREST's words for it
THREADS = 16
# What a project's data API is asked at; others, as for a trial, belong to nobody who could sleep.
SOCKET = "api.sock"
log = logging.getLogger(__name__)


def main(environ: Mapping[str, str], configuration: str | None = None) -> int:
    """Serve until told to stop. Reads a configuration file when one is named. Raises ConfigError."""
    read = config.from_environment(environ)
    if configuration:
        read = config.from_text(Path(configuration).read_text())
    if not read.db_uri:
        raise config.ConfigError("db-uri (PGRST_DB_URI) is not set")
    _Server(read).run()
    return 0


def create_app(instance: Instance) -> Flask:
    """Make the application that serves one instance at `/`."""
    app = Flask("launchdb-data", static_folder=None)

    def serve(path: str = "") -> Response:
        del path
        origins = instance.config.server_cors_allowed_origins
        if wire.is_preflight(request):
            return wire.preflight(request, origins)
        try:
            answer = instance.answer(wire.raw_request(request, ""))
        except Fault as fault:
            return wire.refusal(fault, request)
        return _traced(wire.response(answer, request, origins), instance)

    for rule, name in (("/", "root"), ("/<path:path>", "any")):
        app.add_url_rule(rule, name, serve, methods=METHODS, provide_automatic_options=False)
    return app


def create_admin(instance: Instance) -> Flask:
    """Make the admin application: /live says that the process serves, /ready that its database does too."""
    app = Flask("launchdb-data-admin", static_folder=None)

    @app.get("/live")
    def live() -> Response:
        return Response(status=200)

    @app.get("/ready")
    def ready() -> Response:
        try:
            instance.ready()
        except Fault:
            return Response(status=503)
        return Response(status=200)

    return app


def _mark(read: config.DataConfig) -> Mark | None:
    """Note requests beside the socket, and that there may be some: the idle are put to sleep by it."""
    if Path(read.server_unix_socket).name != SOCKET:
        return None
    mark = Mark(Path(read.server_unix_socket).parent)
    mark.touch()
    return mark


def _traced(response: Response, instance: Instance) -> Response:
    name = instance.config.server_trace_header
    if name and request.headers.get(name):
        response.headers[name] = request.headers[name]
    return response


class _Server(BaseApplication):  # type: ignore[misc]
    """Gunicorn with one worker of many threads: the cache and the pool are shared by all requests."""

    def __init__(self, read: config.DataConfig) -> None:
        self._read = read
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn where and how to serve."""
        host = ADDRESSES.get(self._read.server_host, self._read.server_host)
        for name, value in {
            "bind": [
                f"unix:{self._read.server_unix_socket}"
                if self._read.server_unix_socket
                else f"{host}:{self._read.server_port}"
            ],
            "umask": 0o077,
            "workers": 1,
            "worker_class": "app.server.ProblemWorker",
            "threads": THREADS,
            "limit_request_line": 8190,
            "limit_request_fields": 100,
            "graceful_timeout": 10,
            "keepalive": 30,
            "control_socket_disable": True,
            "loglevel": "warning",
        }.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the application in the worker, which alone opens connections and threads."""
        instance = Instance(self._read, Budget(self._read.db_pool), "launchdb-data", mark=_mark(self._read))
        Listener(instance).start()
        if self._read.admin_server_port:
            _serve_admin(create_admin(instance), self._read)
        return create_app(instance)


def _serve_admin(app: Flask, read: config.DataConfig) -> None:
    from wsgiref.simple_server import WSGIRequestHandler, make_server  # noqa: PLC0415 - only when it is asked for

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own name
            log.debug(format, *args)

    host = ADDRESSES.get(read.server_host, read.server_host).strip("[]")
    server = make_server(host, int(read.admin_server_port or 0), app, handler_class=Quiet)
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main({}, sys.argv[1]))
