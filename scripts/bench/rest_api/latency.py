"""Latency of one row over one kept connection: over TCP beside a Unix socket, and through the platform's front.

The three are asked by turns, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from config.settings import CHECKOUT
from infra.pipeline import spawn
from scripts.bench.figures import Figure, exit_status, percentile, print_figures
from scripts.bench.installation import free_port, installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.bench.installation import BenchInstallation

ROUNDS, WARM_ROUNDS = 1000, 50
START_SECONDS = 20.0
MOST_RATIO = 1.3
# A client that waits for the acknowledgement of a first segment waits 40 ms.
MOST_FRONT_MS = 20.0
QUERY = "/items?id=eq.7"


def prepare(at: BenchInstallation) -> str:
    """Make a project with a small table that everybody may read; return its id."""
    project: str = at.create("bench", wait_seconds=60)["project"]["id"]
    with psycopg.connect(at.infra.database.conninfo, dbname=project, autocommit=True) as admin:
        admin.execute("CREATE TABLE items AS SELECT id, 'item ' || id AS name FROM generate_series(1, 1000) id")
        admin.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
        admin.execute(sql.SQL("GRANT SELECT ON items TO {}").format(sql.Identifier(f"{project}_anon")))
    return project


@contextmanager
def standalone(configuration: str, folder: Path, **options: str | int) -> Iterator[int]:
    """Serve a project's database in a process of its own; give its id."""
    file, log = folder / "data-api.conf", folder / "log"
    lines = [f"{name.replace('_', '-')} = {json.dumps(value)}" for name, value in options.items()]
    file.write_text("\n".join([configuration, *lines, ""]))
    with log.open("wb") as out:
        env = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}
        process = spawn([sys.executable, "-m", "app.data.serve.standalone", str(file)], env=env, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "listening" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text()[-2000:])
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def over_tcp(port: int, path: str) -> Callable[[], None]:
    """Return a function that asks on one kept connection to a port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    return lambda: _ask(connection, path)


def over_socket(place: Path, path: str) -> Callable[[], None]:
    """Return a function that asks on one kept connection to a Unix socket."""
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(place))
    return lambda: _ask(connection, path)


def _ask(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or body != b'[{"id":7,"name":"item 7"}]':
        raise RuntimeError(f"{answer.status} {body!r}")


def measured(ways: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Return the milliseconds of each call of each way, asked by turns."""
    for ask in ways.values():
        for _ in range(WARM_ROUNDS):
            ask()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, ask in ways.items():
            began = time.perf_counter()
            ask()
            times[name].append((time.perf_counter() - began) * 1000)
    return times


def figures(times: dict[str, list[float]]) -> list[Figure]:
    """Return what was measured beside its floor, which is the socket."""
    found = []
    for share, name in ((0.5, "p50"), (0.95, "p95")):
        floor, tcp, front = (percentile(times[way], share) for way in ("socket", "tcp", "front"))
        gated = share == 0.5
        aim, most = ("at most 1.3", "at most 20 ms more") if gated else ("", "")
        found += [
            Figure(f"Unix socket, {name}", floor, "ms"),
            Figure(f"TCP, {name}", tcp, "ms", floor, aim, tcp <= MOST_RATIO * floor if gated else None),
            Figure(
                f"platform's front, {name}", front, "ms", floor, most, front <= floor + MOST_FRONT_MS if gated else None
            ),
        ]
    return found


def main() -> int:
    """Measure, print, clean up; return 1 when an aim is missed."""
    with installation() as at, tempfile.TemporaryDirectory(prefix="ldb-") as place, ExitStack() as stack:
        project, port = prepare(at), free_port()
        configuration = (at.settings.instances_folder / project / "data-api.conf").read_text()
        for name, options in (
            ("tcp", {"server_host": "127.0.0.1", "server_port": port}),
            ("socket", {"server_unix_socket": str(Path(place) / "s")}),
        ):
            folder = Path(place) / name
            folder.mkdir()
            stack.enter_context(standalone(configuration, folder, **options))
        ways = {
            "socket": over_socket(Path(place) / "s", QUERY),
            "tcp": over_tcp(port, QUERY),
            "front": over_tcp(at.settings.port, f"/db/{project}{QUERY}"),
        }
        found = figures(measured(ways))
    print_figures("One row over one kept connection", found)
    return exit_status(found)


if __name__ == "__main__":
    sys.exit(main())
