"""launchdb serve: the HTTP services, on gunicorn with threads in one process."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication

from app import internal, manager, migrations
from app.broker.server import BrokerServer
from app.data import standalone
from app.factory import create_app
from config.logging import setup
from config.settings import Settings, data_api_environment, load
from infra.composition import Infra
from infra.pipeline import die_with_parent
from scripts.cli.service import opened_settings

SERVICES = {"all": ("platform", "data"), "platform": ("platform",), "data": ("data",)}
# Never public: on loopback, whatever LAUNCHDB_HOST says.
INTERNAL = {"manager": (9000, manager.create), "migrations": (8002, migrations.create)}
# Shorter than the supervisor's patience: open event streams are cut, requests under way get an answer.
GRACEFUL_SECONDS = 10
HUNG_SECONDS = 60


class Server(BaseApplication):  # type: ignore[misc]
    """One gunicorn process with threads; the application is made inside it, after the fork."""

    def __init__(self, settings: Settings, services: tuple[str, ...]) -> None:
        self._settings = settings
        self._services = services
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        chosen: dict[str, Any] = {
            "bind": self._address(),
            "workers": 1,
            "worker_class": "app.server.ProblemWorker",
            "threads": self._settings.api_threads,
            "graceful_timeout": GRACEFUL_SECONDS,
            "timeout": HUNG_SECONDS,
            "control_socket_disable": True,
            # A heartbeat file on a disk would write for ever while nothing happens.
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - gunicorn's own file
            "post_fork": _forked,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def _address(self) -> str:
        inside = INTERNAL.get(self._services[0])
        return f"127.0.0.1:{inside[0]}" if inside else f"{self._settings.host}:{self._settings.port}"

    def load(self) -> Any:
        """Open the world and make the application."""
        setup("api")
        if self._services[0] in INTERNAL:
            name, (_port, create) = self._services[0], INTERNAL[self._services[0]]
            return create(self._settings, Infra.open(self._settings, name=f"launchdb-{name}"))
        app = create_app(self._settings, Infra.open(self._settings, name="launchdb-api"), self._services)
        if "platform" in self._services:
            internal.listen(app)
        return app


def _forked(_arbiter: object, _worker: object) -> None:
    # The arbiter may be killed outright; its child must not go on holding the port.
    die_with_parent(signal.SIGKILL)


@click.command()
@click.argument("service", type=click.Choice(sorted([*SERVICES, *INTERNAL, "broker"])))
def serve(service: str) -> None:
    """Serve SERVICE on LAUNCHDB_HOST and LAUNCHDB_PORT until SIGTERM.

    `manager` (9000) and `migrations` (8002) are internal: on loopback, for whoever has the key INTERNAL_API_KEY.
    `broker` alone talks to Docker, for project containers only, on `<home>/run/broker/broker.sock`. It needs no secret.
    `data` with PGRST_DB_URI set serves that one database at `/`, as PostgREST would; it needs no home then.
    """
    alone = data_api_environment()
    if service == "data" and alone.get("PGRST_DB_URI"):
        standalone.main(alone)
        return
    if service == "broker":
        BrokerServer(load()).run()
        return
    # An API without Postgres says that it is not ready; it seals nothing, so that workers alone wait for the proof.
    settings = opened_settings(patient=False)
    Server(settings, SERVICES.get(service, (service,))).run()
