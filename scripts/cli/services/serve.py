"""launchdb serve: the HTTP services, on gunicorn with threads in one process."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from gunicorn.app.base import BaseApplication

from app import manager, migrations
from app.auth.standalone import AuthProcess
from app.broker.server import BrokerServer
from app.data.config import ConfigError
from app.data.config_text import EXAMPLE
from app.data.errors import PgrstError
from app.data.serve import standalone
from app.data.serve.process_part import ProcessPart
from app.factory import REGISTRY, create_app
from app.http.context import EXTENSION
from app.http.process_figures import ProcessFigures
from app.platform.operations import internal
from app.server.server import KEEPALIVE_SECONDS
from app.server.siblings import LEADER, Siblings
from app.storage.process import StorageProcess
from config.logging import setup_logging
from config.settings import Settings, load
from config.surroundings import data_api_environment
from infra import exhaustion
from infra.composition import Infra
from infra.errors import Unavailable
from infra.pipeline import die_with_parent
from scripts.cli.services.service import PAUSE_SECONDS, opened_settings, reachable_settings

if TYPE_CHECKING:
    from flask import Flask

    from app.http.context import AppContext
    from app.server.shared import SharedWorker
    from infra.postgres.database import Database

log = logging.getLogger(__name__)
SERVICES = {"all": ("platform", "data", "auth", "storage"), "platform": ("platform",), "data": ("data",)}
# Never public: on LAUNCHDB_INTERNAL_HOST, whatever LAUNCHDB_HOST says.
INTERNAL = {"manager": (9000, manager.create), "migrations": (8002, migrations.create)}
# Public through the proxy alone, on the internal network as well.
ALONE: dict[str, tuple[int, type[AuthProcess | StorageProcess]]] = {
    "auth": (8001, AuthProcess),
    "storage": (8003, StorageProcess),
}
TITLES = {"all": "Platform API", "platform": "Platform API", "data": "Data API", "manager": "Manager API"}
# Shorter than the supervisor's patience: open event streams are cut, requests under way get an answer.
GRACEFUL_SECONDS = 10
HUNG_SECONDS = 60
# Connections to all projects are shared out among the processes, so that more of them have too few each.
PROCESSES_MAX = 8
# What a process that serves projects' data alone asks the platform's database: in which state a project is.
DATA_PLATFORM_CONNECTIONS = 2


class GunicornServer(BaseApplication):  # type: ignore[misc]
    """gunicorn with processes of threads; the application is made inside each, after the fork.

    There is one process, or several where projects' data is served: they listen on one socket.
    """

    def __init__(self, settings: Settings, services: tuple[str, ...]) -> None:
        self._settings = settings
        self._services = services
        self._opened: Infra | AuthProcess | StorageProcess | None = None
        self._siblings = Siblings(_processes(settings) if "data" in services else 1)
        self._part = ProcessPart()
        self._app: Flask | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        chosen: dict[str, Any] = {
            "bind": self._address(),
            "workers": self._siblings.count,
            "worker_class": "app.server.shared.SharedWorker",
            "threads": self._settings.api_threads,
            "graceful_timeout": GRACEFUL_SECONDS,
            "timeout": HUNG_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "control_socket_disable": True,
            # A heartbeat file on a disk would write for ever while nothing happens.
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - gunicorn's own file
            "pre_fork": self._join,
            "post_fork": self._forked,
            "post_worker_init": self._announce,
            "child_exit": self._miss,
            "worker_exit": self._close,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    @property
    def _service(self) -> str:
        return self._services[0]

    def _port(self) -> int:
        inside = {name: port for name, (port, _made) in (*INTERNAL.items(), *ALONE.items())}
        return inside.get(self._service, self._settings.port)

    def _address(self) -> str:
        inside = self._service in (*INTERNAL, *ALONE)
        return f"{self._settings.internal_host if inside else self._settings.host}:{self._port()}"

    def _join(self, arbiter: Any, worker: SharedWorker) -> None:
        taken = {each.slot for each in arbiter.WORKERS.values()}
        slot = next(number for number in range(self._siblings.count) if number not in taken)
        threads = self._settings.api_threads
        worker.join(self._siblings, slot, threads if slot == LEADER else max(1, threads // self._siblings.count))

    def _forked(self, _arbiter: object, worker: SharedWorker) -> None:
        # The arbiter may be killed outright; its child must not go on holding the port.
        die_with_parent(signal.SIGKILL)
        self._part = ProcessPart(worker.slot, self._siblings.count)

    def _miss(self, _arbiter: object, worker: SharedWorker) -> None:
        self._siblings.leave(worker.slot)

    def _announce(self, worker: Any) -> None:
        worker.trusted_proxies = self._settings.trusted_proxies
        if self._app is not None:
            context: AppContext = self._app.extensions[EXTENSION]
            worker.figures = ProcessFigures(context.metrics)
            if "data" in self._services:
                worker.places = self._app.extensions[REGISTRY].places
        if worker.slot != LEADER:
            return
        title = TITLES.get(self._service, f"{self._service.capitalize()} service")
        log.info("%s listening on port %d", title, self._port())

    def _close(self, _arbiter: object, _worker: object) -> None:
        # A pool that is left to the end of the interpreter waits there for threads that are gone: ten seconds.
        if self._opened is not None:
            self._opened.close()

    def load(self) -> Any:
        """Open the world and make the application."""
        name = self._service if self._service in (*INTERNAL, *ALONE) else "api"
        setup_logging(name)
        exhaustion.watch_for_shortage()
        if name in ALONE:
            process = self._opened = ALONE[name][1](self._settings)
            _say_when_connected(process.database)
            return process.app
        leads = self._part.slot == LEADER
        settings = self._settings if leads else _of_data_alone(self._settings)
        infra = self._opened = Infra.open(settings, name=f"launchdb-{name}")
        if leads:
            _say_when_connected(infra.database)
        if name in INTERNAL:
            return INTERNAL[name][1](settings, infra)
        app = self._app = create_app(settings, infra, self._services if leads else ("data",), self._part)
        if leads and "platform" in self._services:
            internal.serve_internal_app(app)
        return app


def _processes(settings: Settings) -> int:
    return settings.api_processes or min(len(os.sched_getaffinity(0)), PROCESSES_MAX)


def _of_data_alone(settings: Settings) -> Settings:
    """Return the settings of a process that serves projects' data and nothing else."""
    return settings.model_copy(update={"database_pool_size": DATA_PLATFORM_CONNECTIONS})


def _say_when_connected(database: Database) -> None:
    def wait() -> None:
        while not _answers(database):
            time.sleep(PAUSE_SECONDS)
        log.info("connected to the platform database")

    threading.Thread(target=wait, name="connected", daemon=True).start()


def _answers(database: Database) -> bool:
    try:
        database.check()
    except Unavailable:
        return False
    return True


@click.command()
@click.argument("service", type=click.Choice(sorted([*SERVICES, *INTERNAL, *ALONE, "broker"])))
@click.argument("configuration", required=False)
@click.option("--example", "told", flag_value="example", help="data: show an example of a configuration file")
@click.option("--dump-config", "told", flag_value="config", help="data: show the options in force, with secrets")
@click.option("--dump-schema", "told", flag_value="schema", help="data: show what requests are planned against")
@click.option("--ready", "told", flag_value="ready", help="data: ask the server that runs whether it is ready")
def serve(service: str, configuration: str | None, told: str | None) -> None:
    """Serve SERVICE on LAUNCHDB_HOST and LAUNCHDB_PORT until SIGTERM.

    `manager` (9000) and `migrations` (8002) are internal: on LAUNCHDB_INTERNAL_HOST, for whoever has the key
    INTERNAL_API_KEY. `auth` (8001) serves every project's Auth there, and `storage` (8003) the files of all projects,
    for the proxy before them.
    `broker` alone talks to Docker, for project containers only, on `<home>/run/broker/broker.sock`. It needs no secret.
    `data` with PGRST_DB_URI set, or with CONFIGURATION, a file, serves that one database at `/`, as PostgREST would; it
    needs no home then. A variable comes before the file.
    """
    alone = data_api_environment()
    if service == "data" and (alone.get("PGRST_DB_URI") or configuration or told):
        _data_api(alone, configuration, told)
        return
    if configuration or told:
        raise click.UsageError("only data has a configuration file")
    if service in ALONE:
        GunicornServer(reachable_settings(), (service,)).run()
        return
    if service == "broker":
        BrokerServer(load()).run()
        return
    # An API without Postgres says that it is not ready; it seals nothing, so that workers alone wait for the proof.
    settings = opened_settings(patient=False)
    GunicornServer(settings, SERVICES.get(service, (service,))).run()


def _data_api(environ: dict[str, str], configuration: str | None, told: str | None) -> None:
    """Serve one database, or show what there is to it. Raises click.ClickException for options that cannot work."""
    shown = {
        "example": lambda: EXAMPLE,
        "config": lambda: standalone.dump_config(environ, configuration),
        "schema": lambda: standalone.dump_schema(environ, configuration),
        "ready": lambda: standalone.ask_ready(environ, configuration),
    }
    try:
        if told is None:
            standalone.main(environ, configuration)
        else:
            click.echo(shown[told](), nl=told in ("schema", "ready"))
    except (ConfigError, PgrstError) as error:
        raise click.ClickException(str(error)) from None
