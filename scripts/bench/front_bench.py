"""HTTP servers beside ours, by turns in one run: processor time a request, memory, and behaviour.

By processor time, since a machine that is busy otherwise changes rates but not that; medians of the rounds.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from config.settings import CHECKOUT
from infra.pipeline import spawn
from scripts.bench import front_checks
from scripts.bench.figures import cpu_seconds, tree
from scripts.bench.front_serve import ALONE, SERVERS
from scripts.bench.installation import installation
from scripts.bench.rest_api.latency import QUERY, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS, WARM_UP, REQUESTS, CLIENTS = 5, 200, 1500, 8
START_SECONDS = 20.0


@contextmanager
def running(server: str, place: Path, served: str) -> Iterator[int]:
    """Run a server at a socket; give the process id of its first process."""
    place.unlink(missing_ok=True)
    words = [sys.executable, "-m", "scripts.bench.front_serve", server, str(place), served]
    with (place.parent / "log").open("ab") as log:
        process = spawn(words, env={"PATH": os.defpath, "PYTHONPATH": str(CHECKOUT)}, stdout=log, stderr=log)
    try:
        front_checks.wait_until_listening(process, place, START_SECONDS)
        # Some listen before they have begun.
        with front_checks.connected(place, START_SECONDS) as connection:
            connection.sendall(front_checks.head("GET", "/", "Connection: close"))
            front_checks.all_of(connection)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except Exception:  # noqa: BLE001 - whatever it is, it must not stay
            for pid in tree(process.pid):
                os.kill(pid, 9)


def ask(connections: list[socket.socket], request: bytes, rounds: int) -> None:
    """Send the request on all connections at once and read every answer, so many times. Raises RuntimeError."""
    for _ in range(rounds):
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            said = b""
            while b"\r\n\r\n" not in said or not said.endswith(b"]"):
                found = connection.recv(65_536)
                if not found:
                    raise RuntimeError(f"the server has ended the connection: {said[:300]!r}")
                said += found
            if not said.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{said[:300]!r}")


def milliseconds(server: str, place: Path, served: str, path: str) -> tuple[float, float]:
    """Return the processor time of a request (ms), and the memory of all processes afterwards (MB, proportional)."""
    request = front_checks.head("GET", path)
    with running(server, place, served) as pid:
        connections = [socket.socket(socket.AF_UNIX) for _ in range(CLIENTS)]
        for connection in connections:
            connection.settimeout(20)
            connection.connect(str(place))
        ask(connections, request, WARM_UP // CLIENTS)
        before = cpu_seconds(tree(pid))
        ask(connections, request, REQUESTS // CLIENTS)
        spent = cpu_seconds(tree(pid)) - before
        memory = sum(_proportional_kb(each) for each in tree(pid)) / 1024
        for connection in connections:
            connection.close()
    return spent * 1000 / (REQUESTS // CLIENTS * CLIENTS), memory


def _proportional_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def compared(place: Path, served: str, path: str, *more: str) -> dict[str, tuple[float, float]]:
    """Return processor time and memory of each server: medians of rounds in which each has its turn."""
    found: dict[str, list[tuple[float, float]]] = {server: [] for server in (*SERVERS, *more)}
    for _ in range(ROUNDS):
        for server, values in found.items():
            values.append(milliseconds(server, place, served, path))
    return {name: tuple(map(statistics.median, zip(*values, strict=True))) for name, values in found.items()}


def behaviour(place: Path) -> dict[str, dict[str, bool]]:
    """Return what each server does of each check."""
    checks = (*front_checks.CHECKS, *front_checks.STOPS)
    return {server: {check.__name__: _does(server, check, place) for check in checks} for server in SERVERS}


def _does(server: str, check: Callable[[Path, int], bool], place: Path) -> bool:
    """Return whether a server passes a check in one of two tries: a machine that is busy may spoil one."""
    for _ in range(2):
        with running(server, place, "behaviour") as pid, suppress(OSError):
            if check(place, pid):
                return True
    return False


def print_table(title: str, rows: list[tuple[str, list[str]]]) -> None:
    """Print a column for each server."""
    table = Table(title=title)
    for heading in ("", *SERVERS, ALONE):
        table.add_column(heading)
    for name, cells in rows:
        table.add_row(name, *cells)
    Console(width=140).print(table)


def main() -> int:
    """Measure and print. With --behaviour or --load only that."""
    only = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="ldb-") as folder:
        place = Path(folder) / "s"
        if only != ["--load"]:
            did = behaviour(place)
            names = [check.__name__ for check in (*front_checks.CHECKS, *front_checks.STOPS)]
            rows = [
                (name.replace("_", " "), ["yes" if did[server][name] else "NO" for server in SERVERS]) for name in names
            ]
            print_table("behaviour", rows)
        if only != ["--behaviour"]:
            rows = _rows("bare view", compared(place, "bare", "/"))
            with installation() as at:
                project = prepare(at)
                file = at.settings.instances_folder / project / "data-api.conf"
                rows += _rows("data API, one row", compared(place, str(file), QUERY, ALONE))
            print_table(f"{ROUNDS} rounds of {REQUESTS} requests on {CLIENTS} connections, medians", rows)
    return 0


def _rows(what: str, found: dict[str, tuple[float, float]]) -> list[tuple[str, list[str]]]:
    return [
        (f"{what}: requests a CPU second", [f"{1000 / spent:.0f}" for spent, _memory in found.values()]),
        (f"{what}: memory, MB", [f"{memory:.0f}" for _spent, memory in found.values()]),
    ]


if __name__ == "__main__":
    sys.exit(main())
