"""Serves the broker on its Unix socket, for its own account alone. It starts without Postgres, Redis and secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from app.broker import create_app
from config.logging import setup_logging
from infra import exhaustion
from infra.composition import docker
from infra.files import ensure_folder
from infra.instances.broker_client import broker_socket

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings

THREADS = 16
# Stopping a container takes its grace time; what is asked of Docker has time-outs of its own.
GRACEFUL_SECONDS = 20


class BrokerServer(BaseApplication):  # type: ignore[misc]
    """One gunicorn process with threads. Raises Refused for a home in which containers could have no sockets."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._verbs = docker(settings)
        self._socket = broker_socket(settings)
        ensure_folder(self._socket.parent)
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        chosen: dict[str, Any] = {
            "bind": f"unix:{self._socket}",
            "umask": 0o177,
            "workers": 1,
            "worker_class": "app.server.server.ProblemWorker",
            "threads": THREADS,
            "graceful_timeout": GRACEFUL_SECONDS,
            "control_socket_disable": True,
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - gunicorn's own file
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the application."""
        setup_logging("broker")
        exhaustion.watch_for_shortage()
        return create_app(self._verbs)
