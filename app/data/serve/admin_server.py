"""The small server of the administration, beside the one that serves clients."""

from __future__ import annotations

import logging
import socketserver
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

log = logging.getLogger("launchdb.data")


class AdminServer(socketserver.ThreadingMixIn, WSGIServer):
    """A small server on a socket that listens already; one who waits holds up nobody else."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, app: Callable[..., Iterable[bytes]]) -> None:
        socketserver.BaseServer.__init__(self, listening.getsockname(), _AdminHandler)
        self.socket = listening
        self.server_name, self.server_port = "admin", 0
        self.setup_environ()
        self.set_app(app)


class _AdminHandler(WSGIRequestHandler):
    def address_string(self) -> str:
        return "admin"  # of a Unix socket there is none

    def get_environ(self) -> dict[str, Any]:
        self.client_address = ("admin", 0)
        return super().get_environ()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own name
        log.debug(format, *args)
