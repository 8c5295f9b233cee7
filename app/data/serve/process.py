"""The process of one data API: one server in it, no master beside it, reloaded and ended by signals.

A second process would cost as much memory as the first, and starting it as much time; whoever runs containers starts
one again that has ended.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gunicorn.config import Config
from gunicorn.glogging import Logger

from app.data.run.listener import NotifyListener, ReloadTarget
from app.server.server import KEEPALIVE_SECONDS, ProblemWorker
from infra import exhaustion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from app.data.config import DataConfig
    from app.data.run.instance import Instance

    # Makes the admin application of the instance that is served at the moment.
    Admin = Callable[[Callable[[], Instance]], Callable[..., Iterable[bytes]]]

ADDRESSES = {"!4": "0.0.0.0", "*4": "0.0.0.0", "!6": "::", "*6": "::", "*": "0.0.0.0"}  # noqa: S104 - PostgREST's words for it
THREADS = 16
BACKLOG = 1024
GRACEFUL_SECONDS = 4  # less than a container is given to end
log = logging.getLogger("launchdb.data")


class ReloadableApp(ReloadTarget, Protocol):
    """A data API: a WSGI application that is reloaded while it serves."""

    @property
    def instance(self) -> Instance:
        """Return what is served now."""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""

    def reconfigure(self) -> None:
        """Read the configuration again."""

    def release_idle(self) -> None:
        """Release what nobody has asked for in a while."""


def serve(api: ReloadableApp, admin: Admin) -> int:
    """Serve until SIGTERM. SIGUSR1 reads the database's catalogue again, SIGUSR2 the configuration.

    admin  makes the application of the admin server, where one is configured
    """
    # Whoever signals sooner than the server is there to be told must not end it.
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    exhaustion.watch_for_shortage()
    read = api.config
    listening, where = _listen(read)
    NotifyListener(api).start()
    if read.admin_server_port or read.admin_server_unix_socket:
        _serve_admin(admin(lambda: api.instance), read)
    log.info("API server listening on %s", where)
    settings = _settings()
    _Process(api, settings, listening).init_process()
    for place in (read.server_unix_socket, read.admin_server_unix_socket):
        if place:
            Path(place).unlink(missing_ok=True)
    log.info("ended")
    sys.stderr.flush()
    # A request that did not end in its grace has a thread that an ordinary exit would wait for.
    os._exit(0)


class _Process(ProblemWorker):
    """The server that our services have in a child of gunicorn's master, alone."""

    projects_alone = True

    def __init__(self, api: ReloadableApp, settings: Config, listening: socket.socket) -> None:
        self._api = api
        super().__init__(0, os.getppid(), [listening], self, settings.timeout, settings, Logger(settings))

    def wsgi(self) -> ReloadableApp:
        """Return the application, as gunicorn asks for it."""
        return self._api

    def init_signals(self) -> None:
        """Add ours to gunicorn's."""
        super().init_signals()
        signal.signal(signal.SIGUSR1, self._told(self._api.forget_schema))
        signal.signal(signal.SIGUSR2, self._told(self._api.reconfigure))
        signal.signal(signal.SIGINT, self.handle_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Log by what signal the server is told to end; not here, for whatever it interrupts may be writing there."""
        threading.Thread(target=log.info, args=("%s received, ending", signal.Signals(sig).name), daemon=True).start()
        super().handle_exit(sig, frame)

    def hand_over(self) -> None:
        """Take the socket away first: who does not find it asks the platform, and waits for whoever comes next."""
        if place := self._api.config.server_unix_socket:
            Path(place).unlink(missing_ok=True)
        super().hand_over()

    def murder_pending(self) -> None:
        """Release what is idle, too: this is called once a second."""
        super().murder_pending()
        self._api.release_idle()

    def _told(self, act: Any) -> Any:
        def handle(_number: int, _frame: FrameType | None) -> None:
            # Not here: whatever the signal interrupts may hold what it needs.
            threading.Thread(target=act, daemon=True).start()

        return handle


def _settings() -> Config:
    settings = Config()
    for name, value in {
        "threads": THREADS,
        "limit_request_fields": 100,
        "graceful_timeout": GRACEFUL_SECONDS,
        "keepalive": KEEPALIVE_SECONDS,
        "loglevel": "warning",
    }.items():
        settings.set(name, value)
    return settings


def _listen(read: DataConfig) -> tuple[socket.socket, str]:
    """Return the socket that is listened on, and its name for people."""
    if read.server_unix_socket:
        return _listen_locally(Path(read.server_unix_socket), int(read.server_unix_socket_mode, 8))
    return _listen_at(read.server_host, read.server_port, shared=read.server_reuseport)


def _listen_at(named: str, port: int, *, shared: bool = False) -> tuple[socket.socket, str]:
    host = ADDRESSES.get(named, named).strip("[]")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    listening = socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=shared)
    shown = f"[{host}]" if ":" in host else host
    return listening, f"{shown}:{listening.getsockname()[1]}"


def _listen_locally(path: Path, mode: int) -> tuple[socket.socket, str]:
    # Another name first: what a killed server left at the path stands in nobody's way, and whoever finds the socket
    # there finds it listening.
    begun = path.with_name(f".{path.name}.new")
    begun.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(begun))
    begun.chmod(mode)
    listening.listen(BACKLOG)
    begun.replace(path)
    return listening, f"unix:{path}"


def _serve_admin(app: Callable[..., Iterable[bytes]], read: DataConfig) -> None:
    from app.data.serve.admin_server import AdminServer  # noqa: PLC0415 - only when it is asked for

    listening, where = _admin_socket(read)
    log.info("Admin server listening on %s", where)
    server = AdminServer(listening, app)
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()


def _admin_socket(read: DataConfig) -> tuple[socket.socket, str]:
    if read.admin_server_unix_socket:
        path, mode = Path(read.admin_server_unix_socket), int(read.admin_server_unix_socket_mode, 8)
        return _listen_locally(path, mode)
    return _listen_at(read.admin_server_host or read.server_host, int(read.admin_server_port or 0))
