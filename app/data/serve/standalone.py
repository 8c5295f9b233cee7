"""One data API in a process of its own, as PostgREST is: at `/`, without a home and without a platform.

`launchdb serve data` with PGRST_* variables, or a project's container, which names a configuration file. No Flask and
nothing else that only a platform needs: what is imported here is what each project's container waits for and holds.
"""

from __future__ import annotations

import http.client
import logging
import sys
import threading
import time
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.data import config
from app.data.config_text import dumped
from app.data.errors import PgrstError, disconnected
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from app.data.run.respond import DataResponse
from app.data.serve import access_log, api_key, wsgi
from app.data.serve.admin import create_admin, schema_text
from app.data.serve.config_source import ConfigSource
from app.data.serve.exchange import Mount, exchange
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
COMPLETION_PAUSE_SECONDS_MAX = 2.0
CONNECTIONS_MAX = 1000  # the pool has its own limit
# What a project's data API is asked at; others, as for a trial, belong to nobody who could sleep.
SOCKET = "api.sock"
log = logging.getLogger("launchdb.data")


class DataApi:
    """The WSGI application, with what of it changes while it serves."""

    def __init__(self, source: ConfigSource) -> None:
        self._source = source
        self._reading = threading.Lock()
        self._minute = api_key.MinuteCounter()
        read, project, self.spec = source.read()
        self._incomplete, self.changed = source.incomplete, threading.Event()
        name = f"launchdb-data:{project}" if project else "launchdb-data"
        self._mark = _mark(read)
        access_log.use_level(read.log_level)
        self.instance = Instance(read, Budget(CONNECTIONS_MAX), name, mark=self._mark)
        self.instance.pool.refresh = self.reconfigure
        if self._incomplete:
            threading.Thread(target=self._complete, daemon=True).start()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        answer = self._answered(environ)
        access_log.note(environ, answer, self.config)
        return answer(environ, start)

    def reconfigure(self) -> None:
        """Read the configuration again; a broken one changes nothing. Where it listens is settled for good."""
        with self._reading:
            try:
                read, _, spec = self._source.read()
            except config.ConfigError as error:
                log.error("configuration refused, the one before stays: %s", error)  # noqa: TRY400 - nobody's stack
                return
            if self._source.incomplete:
                log.warning("the options in the database cannot be read: %s", self._source.incomplete)
                return
            self._incomplete = ""
            if spec and spec == self.spec:
                return
            access_log.use_level(read.log_level)
            before = self.instance
            # Requests under way go on with the connections that they have.
            before.pool.heed(read)
            self.instance, self.spec = Instance(read, Budget(0), pool=before.pool, mark=self._mark), spec
        self.changed.set()
        log.info("configuration read again")

    def _complete(self) -> None:
        """Try until the options in the database are known: without them nobody is served."""
        log.warning("the options in the database cannot be read: %s", self._incomplete)
        pause = 0.1
        while self._incomplete:
            time.sleep(pause)
            pause = min(pause * 2, COMPLETION_PAUSE_SECONDS_MAX)
            self.reconfigure()

    @property
    def config(self) -> DataConfig:
        """Return the configuration that is served now."""
        return self.instance.config

    def forget_schema(self) -> None:
        """Read the catalogue again before the next request, by connections that know what has changed for the login."""
        self.instance.pool.renew()
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
        if self._incomplete:
            return wsgi.error_answer(disconnected(), environ, read.server_cors_allowed_origins)
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

    access_log.write_to(sys.stderr)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return serve(DataApi(ConfigSource(environ, configuration)), create_admin)


def dump_config(environ: Mapping[str, str], configuration: str | None) -> str:
    """Return the options that would be in force, secrets and all, in the syntax of the file. Raises ConfigError."""
    source = ConfigSource(environ, configuration)
    read = source.read(needs_database=False)[0]
    if source.incomplete:
        log.warning("the options in the database are left out: %s", source.incomplete)
    return dumped(read, with_secrets=True)


def dump_schema(environ: Mapping[str, str], configuration: str | None) -> str:
    """Return as JSON what requests would be planned against. Raises ConfigError, PgrstError."""
    read = ConfigSource(environ, configuration).read()[0]
    with closing(Instance(read, Budget(1))) as instance:
        return schema_text(instance.ready())


def ask_ready(environ: Mapping[str, str], configuration: str | None) -> str:
    """Ask a server that runs whether it is ready; return the address. Raises ConfigError where it is not."""
    read = ConfigSource(environ, configuration).read(needs_database=False)[0]
    if not read.admin_server_port:
        raise config.ConfigError("Admin server is not running. Please check admin-server-port config.")
    named = (read.admin_server_host or read.server_host).strip("[]")
    host = {"*": "127.0.0.1", "*4": "127.0.0.1", "!4": "127.0.0.1", "*6": "::1", "!6": "::1"}.get(named, named)
    asked = http.client.HTTPConnection(host, read.admin_server_port, timeout=5)
    url = f"http://{f'[{host}]' if ':' in host else host}:{read.admin_server_port}/ready"
    try:
        asked.request("GET", "/ready")
        status = asked.getresponse().status
    except ConnectionRefusedError:
        raise config.ConfigError(f"connection refused to {url}") from None
    except OSError as error:
        raise config.ConfigError(f"{url} does not answer ({type(error).__name__})") from None
    finally:
        asked.close()
    if status != HTTPStatus.OK:
        raise config.ConfigError(f"{url} answers {status}")
    return f"OK: {url}"


if __name__ == "__main__":
    try:
        sys.exit(main({}, sys.argv[1]))
    except config.ConfigError as error:
        sys.exit(f"the configuration cannot be used: {error}")
