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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from app.data import config
from app.data.errors import PgrstError
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from app.data.run.respond import DataResponse
from app.data.serve import api_key, wsgi
from app.data.serve.exchange import Mount, exchange
from app.server.status_line import status_line
from infra.instances.activity import ActivityMark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.data.config import DataConfig

# Set by the edge and by nobody else: below which path it found the API, and whether a key is asked for.
PREFIX, GATE = "X-Launchdb-Prefix", "X-Launchdb-Gate"
PREFIX_VARIABLE, GATE_VARIABLE = (f"HTTP_{name.upper().replace('-', '_')}" for name in (PREFIX, GATE))
# The edge's word to its own administration, should a link lead there instead of here.
EDGE_MODE = "Sec-Fetch-Mode"
# Without an edge, behind it, and behind it where a key is asked for. The edge's words are for us alone.
OPEN = Mount()
BEHIND = Mount(hidden=(PREFIX.lower(), GATE.lower(), EDGE_MODE.lower()), shared=True)
GATED = BEHIND._replace(gated=True)
HEALTH, SPEC_HEADER = "/launchdb/health", "X-Launchdb-Spec"
CONNECTIONS_MAX = 1000  # the pool has its own limit
# What a project's data API is asked at; others, as for a trial, belong to nobody who could sleep.
SOCKET = "api.sock"
_LABEL = re.compile(r"# launchdb project=(proj_[0-9a-f]{16}) spec=([0-9a-f]{64})")
log = logging.getLogger("launchdb.data")


class ConfigSource:
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
        label = _LABEL.fullmatch(text.partition("\n")[0])
        return read, *(label.groups() if label is not None else ("", ""))  # type: ignore[return-value]


class DataApi:
    """The WSGI application, with what of it changes while it serves."""

    def __init__(self, source: ConfigSource) -> None:
        self._source = source
        self._reading = threading.Lock()
        self._minute = api_key.MinuteCounter()
        read, project, self.spec = source.read()
        name = f"launchdb-data:{project}" if project else "launchdb-data"
        self._mark = _mark(read)
        self.instance = Instance(read, Budget(CONNECTIONS_MAX), name, mark=self._mark)
        self.instance.pool.refresh = self.reconfigure

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        return self._answered(environ)(environ, start)

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

    def release_idle(self) -> None:
        """Release what nobody has asked for in a while: connections, and the schema cache with the last of them."""
        instance = self.instance
        before = time.monotonic() - instance.config.db_pool_max_idletime
        if instance.pool.opened and instance.pool.trim(before) and instance.used < before:
            instance.forget_schema()

    def _answered(self, environ: dict[str, Any]) -> wsgi.WireAnswer:
        instance = self.instance
        read = instance.config
        try:
            mount = _mount(environ, read)
            if mount is not OPEN and _asks_for_health(environ):
                return wsgi.WireAnswer(DataResponse(200, [(SPEC_HEADER, self.spec)]), environ, ())
            return exchange(environ, mount, instance, wait=lambda: instance, count=self._count)
        except Exception:
            log.exception("request failed")
            fault = PgrstError("XX000", "Something went wrong", status=500)
            return wsgi.error_answer(fault, environ, read.server_cors_allowed_origins)

    def _count(self, instance: Instance) -> None:
        if _behind_edge(instance.config):
            self._minute.count(instance.config.launchdb_rate_per_minute)


def _mount(environ: dict[str, Any], read: DataConfig) -> Mount:
    if not _behind_edge(read):
        return OPEN
    return GATED if environ.get(GATE_VARIABLE) == "apikey" else BEHIND


def _asks_for_health(environ: dict[str, Any]) -> bool:
    """Return whether our own look at the socket asks, rather than a client."""
    return environ["PATH_INFO"] == HEALTH and PREFIX_VARIABLE not in environ and not wsgi.is_preflight(environ)


def _behind_edge(read: DataConfig) -> bool:
    return read.launchdb_gateway and bool(read.server_unix_socket)


def create_admin(instance: Callable[[], Instance]) -> Callable[..., Iterable[bytes]]:
    """Return the admin application: /live says that the process serves, /ready that its database does too."""

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        status = {"/live": 200, "/ready": 200}.get(environ["PATH_INFO"], 404)
        if environ["PATH_INFO"] == "/ready":
            try:
                instance().ready()
            except PgrstError:
                status = 503
        return Response(status=status_line(status))(environ, start)

    return app


def _mark(read: DataConfig) -> ActivityMark | None:
    """Note requests beside the socket, and that there may be some: the idle are put to sleep by it."""
    if Path(read.server_unix_socket).name != SOCKET:
        return None
    mark = ActivityMark(Path(read.server_unix_socket).parent)
    mark.touch()
    return mark


def main(environ: Mapping[str, str], configuration: str | None = None) -> int:
    """Serve until told to stop. Reads a configuration file when one is named. Raises ConfigError."""
    from app.data.serve.process import serve  # noqa: PLC0415 - the server, which those who only want the app do not load

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return serve(DataApi(ConfigSource(environ, configuration)), create_admin)


if __name__ == "__main__":
    try:
        sys.exit(main({}, sys.argv[1]))
    except config.ConfigError as error:
        sys.exit(f"the configuration cannot be used: {error}")
