"""Serves one application by one of the servers that `front_bench` compares, at a Unix socket.

Usage: python -m scripts.bench.front_serve SERVER SOCKET bare|behaviour|CONFIGURATION|STATEMENTS.json
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.settings import CHECKOUT
from scripts.bench import front_apps

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.bench.front_apps import App

THREADS = 16
BACKLOG = 1024
# Begins a place that is no Unix socket, but an address and a port: gunicorn's servers alone.
TCP = "tcp:"
PEERS = CHECKOUT / "build" / "bench-peers"


def app(named: str) -> App:
    """Return the application of that name, bare views of statements, or the data API of a configuration."""
    if named in ("bare", "behaviour"):
        found: App = getattr(front_apps, named)
        return found
    if named.endswith(".json"):
        return front_apps.bare_sql(Path(named))
    return front_apps.data_api(Path(named))


def _gunicorn(place: str, named: str, worker: str) -> None:
    bind = place.removeprefix(TCP) if place.startswith(TCP) else f"unix:{place}"
    options = {
        "bind": bind, "worker-class": worker, "threads": THREADS, "backlog": BACKLOG, "graceful-timeout": 5,
        "keep-alive": 30, "log-level": "critical",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    program = f"scripts.bench.front_serve:app({named!r})"
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *words, "--no-control-socket", program])  # noqa: S606


def _plain(place: str, named: str) -> None:
    _gunicorn(place, named, "gthread")


def _ours(place: str, named: str) -> None:
    _gunicorn(place, named, "app.server.server.ProblemWorker")


def _alone(place: str, named: str) -> None:
    """As in a project's container: no master beside it, and no other application than the data API."""
    file = Path(place).with_suffix(".conf")
    file.write_text(f'{Path(named).read_text()}server-unix-socket = "{place}"\n')
    os.execv(sys.executable, [sys.executable, "-m", "app.data.serve.standalone", str(file)])  # noqa: S606


def _granian(place: str, named: str) -> None:
    from granian import Granian  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - a peer
    from granian.constants import Interfaces  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from granian.http import HTTP1Settings  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    Granian(
        named, uds=Path(place), interface=Interfaces.WSGI, workers=1,
        blocking_threads=THREADS, backlog=BACKLOG, backpressure=BACKLOG, websockets=False, log_enabled=False,
        workers_kill_timeout=5, http1_settings=HTTP1Settings(header_read_timeout=10_000),
    ).serve(target_loader=app)  # fmt: skip


def _waitress(place: str, named: str) -> None:
    import waitress  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - a peer

    # It has no way to stop of its own but this: what is being answered has five seconds then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    waitress.serve(
        app(named), unix_socket=place, unix_socket_perms="600", threads=THREADS, backlog=BACKLOG,
        connection_limit=BACKLOG, channel_timeout=10, cleanup_interval=1, max_request_header_size=65_536, ident=None,
    )  # fmt: skip


SERVERS: dict[str, Callable[[str, str], Any]] = {
    "gunicorn gthread": _plain,
    "Granian": _granian,
    "Waitress": _waitress,
    "ours": _ours,
}
ALONE = "ours, alone"


def main() -> None:
    """Serve until told to stop."""
    name, place, served = sys.argv[1:]
    if name in ("Granian", "Waitress"):
        # Behind ours, so that whatever both have is ours.
        sys.path += [str(path) for path in PEERS.glob("lib/python3*/site-packages")]
    {**SERVERS, ALONE: _alone}[name](place, served)


if __name__ == "__main__":
    main()
