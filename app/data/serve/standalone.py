"""One data API in a process of its own, as PostgREST is: at `/`, without a home and without a platform.

`launchdb serve data` with PGRST_* variables, or a project's container, which names a configuration file. No Flask and
nothing else that only a platform needs: what is imported here is what each project's container waits for and holds.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from app.data import config
from app.data.faults import Fault
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from app.data.serve import api_key, wsgi
from app.server.status_line import status_line
from infra.instances.activity import Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.data.config import DataConfig

# Set by the edge and by nobody else: below which path it found the API, and whether a key is asked for.
PREFIX, GATE = "X-Launchdb-Prefix", "X-Launchdb-Gate"
# The edge's word to its own administration, should a link lead there instead of here.
EDGE_MODE = "Sec-Fetch-Mode"
HEALTH, SPEC_HEADER = "/launchdb/health", "X-Launchdb-Spec"
CONNECTIONS_MAX = 1000  # the pool has its own limit
# What a project's data API is asked at; others, as for a trial, belong to nobody who could sleep.
SOCKET = "api.sock"
_LABEL = re.compile(r"# launchdb project=(proj_[0-9a-f]{16}) spec=([0-9a-f]{64})")
log = logging.getLogger("launchdb.data")


class Source:
    """Where the configuration comes from, and whose it says it is."""

    def __init__(self, environ: Mapping[str, str], file: str | None) -> None:
        self._environ, self._file = environ, file

    def read(self) -> tuple[DataConfig, str, str]:
        """Return the configuration, and the project and the spec of its first line. Raises ConfigError."""
        text = ""
        read = config.from_environment(self._environ)
        if self._file:
            try:
                text = Path(self._file).read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise config.ConfigError(f"the file cannot be read ({type(error).__name__})") from error
            read = config.from_text(text)
        if not read.db_uri:
            raise config.ConfigError("db-uri (PGRST_DB_URI) is not set")
        if read.launchdb_gateway:
            # Clients are told when a key ends, and the clock that wrote it is ours: there is nothing to forgive.
            read = replace(read, jwt_leeway=0)
        label = _LABEL.fullmatch(text.partition("\n")[0])
        return read, *(label.groups() if label is not None else ("", ""))  # type: ignore[return-value]


class DataApi:
    """The WSGI application, with what of it changes while it serves."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._reading = threading.Lock()
        self._minute = api_key.Minute()
        read, project, self.spec = source.read()
        name = f"launchdb-data:{project}" if project else "launchdb-data"
        self._mark = _mark(read)
        self.instance = Instance(read, Budget(CONNECTIONS_MAX), name, mark=self._mark)
        self.instance.pool.refresh = self.reconfigure
        self._app = create_app(lambda: self.instance, self._gateway)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        return self._app(environ, start)

    def reconfigure(self) -> None:
        """Read the configuration again; a broken one changes nothing. Where it listens is settled for good."""
        with self._reading:
            try:
                read, _, spec = self._source.read()
            except config.ConfigError as error:
                log.error("configuration refused, the one before stays: %s", error)  # noqa: TRY400 - nobody's stack
                return
            if spec and spec == self.spec:
                return
            before = self.instance
            # Requests under way go on with the connections that they have.
            before.pool.heed(read)
            self.instance, self.spec = Instance(read, Budget(0), pool=before.pool, mark=self._mark), spec
        log.info("configuration read again")

    @property
    def config(self) -> DataConfig:
        """Return the configuration that is served now."""
        return self.instance.config

    def forget_schema(self) -> None:
        """Read the catalogue again before the next request."""
        self.instance.forget_schema()
        log.info("schema cache dropped")

    def rest(self) -> None:
        """Let go of what nobody has asked for in a while: connections, and the schema cache with the last of them."""
        instance = self.instance
        before = time.monotonic() - instance.config.db_pool_max_idletime
        if instance.pool.opened and instance.pool.trim(before) and instance.used < before:
            instance.forget_schema()

    def _gateway(self, request: Request) -> Response | None:
        """Answer what only the edge and our own look at its socket ask; None for a request of a client."""
        if request.path == HEALTH and PREFIX not in request.headers:
            return Response(status=200, headers={SPEC_HEADER: self.spec})
        self._minute.count(self.instance.config.launchdb_rate_per_minute)
        return None


def create_app(
    current: Callable[[], Instance], edge: Callable[[Request], Response | None] = lambda _request: None
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Return the WSGI application that serves an instance at `/`. edge: asked first, behind our own edge only."""

    def answer(request: Request) -> Response:
        instance = current()
        read = instance.config
        origins = read.server_cors_allowed_origins
        behind = read.launchdb_gateway and bool(read.server_unix_socket)
        if wsgi.is_preflight(request):
            return wsgi.preflight(request, origins)
        try:
            if behind and (found := edge(request)) is not None:
                return found
            raw = wsgi.raw_request(request, "", body_bytes_max=read.launchdb_body_bytes_max)
            if behind:
                raw = _of_client(raw, read, gated=request.headers.get(GATE) == "apikey")
            return _traced(wsgi.response(instance.answer(raw), request, origins), request, instance)
        except Fault as fault:
            return wsgi.refusal(fault, request, origins)
        except Exception:
            log.exception("request failed")
            return wsgi.refusal(Fault("XX000", "Something went wrong", status=500), request, origins)

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return answer(Request(environ))(environ, start)

    return app


def create_admin(instance: Callable[[], Instance]) -> Callable[..., Iterable[bytes]]:
    """Return the admin application: /live says that the process serves, /ready that its database does too."""

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        status = {"/live": 200, "/ready": 200}.get(environ["PATH_INFO"], 404)
        if environ["PATH_INFO"] == "/ready":
            try:
                instance().ready()
            except Fault:
                status = 503
        return Response(status=status_line(status))(environ, start)

    return app


def _of_client(raw: Any, read: DataConfig, *, gated: bool) -> Any:
    """Return the request as its client sent it, admitted by its key where one is asked for. Raises Fault (401)."""
    told = (PREFIX.lower(), GATE.lower(), EDGE_MODE.lower())
    raw = replace(raw, headers={name: value for name, value in raw.headers.items() if name not in told})
    return api_key.admitted(raw, read) if gated else raw


def _mark(read: DataConfig) -> Mark | None:
    """Note requests beside the socket, and that there may be some: the idle are put to sleep by it."""
    if Path(read.server_unix_socket).name != SOCKET:
        return None
    mark = Mark(Path(read.server_unix_socket).parent)
    mark.touch()
    return mark


def _traced(response: Response, request: Request, instance: Instance) -> Response:
    name = instance.config.server_trace_header
    if name and request.headers.get(name):
        response.headers[name] = request.headers[name]
    return response


def main(environ: Mapping[str, str], configuration: str | None = None) -> int:
    """Serve until told to stop. Reads a configuration file when one is named. Raises ConfigError."""
    from app.data.serve.process import serve  # noqa: PLC0415 - the server, which those who only want the app do not load

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return serve(DataApi(Source(environ, configuration)), create_admin)


if __name__ == "__main__":
    try:
        sys.exit(main({}, sys.argv[1]))
    except config.ConfigError as error:
        sys.exit(f"the configuration cannot be used: {error}")
