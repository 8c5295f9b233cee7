"""What a request of the data API costs: beside a bare Flask view, PostGraphile, and pgbench for the statement alone.

The bare view runs the same statement under the same server. By processor time of the server alone, and by turns, so
that a machine that is busy otherwise changes little. All are asked over a Unix socket, where a project's container
answers; one connection is measured over TCP as well.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from app.data.parse import request as requests
from app.data.plan import schema
from app.data.serve.config_source import ConfigSource
from app.data.serve.standalone import DataApi
from app.data.sql import statement
from config.settings import CHECKOUT
from infra.pipeline import spawn
from scripts.bench.figures import Figure, cpu_seconds, exit_status, percentile, print_figures, tree
from scripts.bench.front_bench import START_SECONDS, running
from scripts.bench.front_serve import ALONE, TCP
from scripts.bench.installation import free_port, installation
from scripts.bench.rest_api import peers
from scripts.bench.rest_api.latency import standalone
from scripts.bench.rest_api.requests import CASES, ROWS, Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from app.data.config import DataConfig
    from scripts.bench.installation import BenchInstallation

ROUNDS, WARM_UP, REQUESTS = 3, 160, 960
CONNECTIONS = (1, 8, 32)
MOST_TCP = 2.0
TABLES = """
CREATE TABLE items AS SELECT id, 'item ' || id AS name, id * 3 AS amount FROM generate_series(1, 1000) id;
ALTER TABLE items ADD PRIMARY KEY (id);
CREATE TABLE authors (id int PRIMARY KEY, name text);
CREATE TABLE books (id int PRIMARY KEY, title text, author_id int REFERENCES authors);
INSERT INTO authors SELECT id, 'author ' || id FROM generate_series(1, 1000) id;
INSERT INTO books SELECT id, 'book ' || id, 1 + id / 3 FROM generate_series(1, 2900) id;
CREATE INDEX ON books (author_id);
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
CREATE FUNCTION add(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
ANALYZE;
"""


@dataclass
class Measured:
    """What the rounds of one case have found: seconds of processor a request, and milliseconds by connections."""

    cpu: list[float] = field(default_factory=list)
    times: dict[int, list[float]] = field(default_factory=dict)


def prepare(at: BenchInstallation) -> str:
    """Make a project with what the cases ask for; return its id."""
    project: str = at.create("bench", wait_seconds=60)["project"]["id"]
    anon = sql.Identifier(f"{project}_anon")
    with psycopg.connect(at.infra.database.conninfo, dbname=project, autocommit=True) as admin:
        admin.execute(TABLES)
        admin.execute(sql.SQL("GRANT SELECT ON items, authors, books TO {}").format(anon))
        admin.execute(sql.SQL("GRANT INSERT, SELECT ON notes TO {}").format(anon))
    return project


def bare_views(configuration: Path, place: Path) -> Path:
    """Write down the very statements that the data API runs for the cases; return the file."""
    api = DataApi(ConfigSource({}, str(configuration)))
    config = api.config
    with api.instance.pool.lend() as connection:
        parts = frozenset({schema.ROUTINES, schema.LINKS})
        cache = schema.load(connection, config.db_schemas, config.db_extra_search_path, parts)
    views = [_view(case, config, cache) for case in CASES]
    place.write_text(json.dumps({"conninfo": config.db_uri, "role": config.db_anon_role, "views": views}))
    api.instance.close()
    return place


def _view(case: Case, config: DataConfig, cache: schema.SchemaCache) -> dict[str, Any]:
    path, _, query = case.path.format(7).partition("?")
    at = _bare_path(case).partition("?")[0]
    headers = {"content-type": "application/json"}
    raw = requests.RawRequest(case.method, path, query, headers, case.body.encode())
    planned = statement.plan(requests.read(raw, config), cache, config)
    return {
        "method": case.method, "path": at, "status": case.status, "sql": planned.text.as_string(None),
        "values": planned.values,
        "id": next((name for name, value in planned.values.items() if value == "7"), "") if "{}" in case.path else "",
        "body": next(name for name, value in planned.values.items() if value == case.body) if case.body else "",
    }  # fmt: skip


def _bare_path(case: Case) -> str:
    return f"/{CASES.index(case)}?id=eq.{{}}"


@dataclass(frozen=True)
class Way:
    """Who answers the cases. place: a Unix socket, or a port; answers: the status of its answers, if not the case's."""

    name: str
    place: Path | int
    serves: Callable[[], AbstractContextManager[int]]
    request: Callable[[Case, int], bytes]
    answers: int = 0
    connections: tuple[int, ...] = CONNECTIONS


class Client:
    """Kept connections to a way that ask by turns; an answer has a length."""

    def __init__(self, way: Way, count: int) -> None:
        self._way, self._number = way, 0
        self._connections = [_connected(way.place) for _ in range(count)]

    def ask(self, case: Case, rounds: int) -> list[float]:
        """Ask on all connections at once, so many times; return the milliseconds of each answer."""
        times, status = [], self._way.answers or case.status
        for _ in range(rounds):
            began = []
            for connection in self._connections:
                self._number = self._number % ROWS + 1
                asked = self._way.request(case, self._number)
                began.append(time.perf_counter())
                connection.sendall(asked)
            for connection, start in zip(self._connections, began, strict=True):
                _read(connection, status)
                times.append((time.perf_counter() - start) * 1000)
        return times

    def close(self) -> None:
        """End the connections."""
        for connection in self._connections:
            connection.close()


def _connected(place: Path | int) -> socket.socket:
    if isinstance(place, int):
        found = socket.create_connection(("127.0.0.1", place), timeout=20)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(20)
    found.connect(str(place))
    return found


def _read(connection: socket.socket, status: int) -> None:
    said = b""
    while b"\r\n\r\n" not in said:
        said += _more(connection, said)
    head, _, body = said.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += _more(connection, said)
    if not head.startswith(b"HTTP/1.1 %d " % status) or b'"errors"' in body:
        raise RuntimeError(f"{head[:300]!r} {body[:300]!r}")


def _more(connection: socket.socket, said: bytes) -> bytes:
    found = connection.recv(262_144)
    if not found:
        raise RuntimeError(f"the server has ended the connection: {said[:300]!r}")
    return found


def ways_of(configuration: Path, views: Path, folder: Path) -> list[Way]:
    """Return who is measured, each by turns."""
    place, ports = folder / "s", [free_port(), free_port()]

    @contextmanager
    def over_tcp() -> Iterator[int]:
        own = folder / "tcp"
        own.mkdir(exist_ok=True)
        with standalone(configuration.read_text(), own, server_host="127.0.0.1", server_port=ports[0]) as pid:
            yield pid

    return [
        Way("ours", place, lambda: running(ALONE, place, str(configuration)), Case.request),
        Way("bare view", place, lambda: running("ours", place, str(views)), _bare),
        Way("PostGraphile", place, lambda: peers.postgraphile(place, views), peers.request, answers=200),
        Way("ours, TCP", ports[0], over_tcp, Case.request, connections=(1,)),
        Way("bare view, TCP", ports[1], lambda: bare_over_tcp(ports[1], views, folder), _bare, connections=(1,)),
    ]


def _bare(case: Case, number: int) -> bytes:
    return case.request(number, _bare_path(case))


@contextmanager
def bare_over_tcp(port: int, views: Path, folder: Path) -> Iterator[int]:
    """Serve the bare views at a port; give the process id."""
    words = [sys.executable, "-m", "scripts.bench.front_serve", "ours", f"{TCP}127.0.0.1:{port}", str(views)]
    with (folder / "log").open("ab") as log:
        process = spawn(words, env={"PATH": os.defpath, "PYTHONPATH": str(CHECKOUT)}, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                _connected(port).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def measure(ways: list[Way]) -> dict[str, dict[str, Measured]]:
    """Return what each way costs for each case, asked by turns."""
    found = {way.name: {case.name: Measured() for case in CASES} for way in ways}
    for _ in range(ROUNDS):
        for way in ways:
            with way.serves() as pid:
                for case in CASES:
                    _measure_case(way, pid, case, found[way.name][case.name])
    return found


def _measure_case(way: Way, pid: int, case: Case, into: Measured) -> None:
    for count in way.connections:
        client = Client(way, count)
        client.ask(case, max(1, WARM_UP // count))
        before, asked = cpu_seconds(tree(pid)), REQUESTS // count
        times = client.ask(case, asked)
        if count == 8:
            into.cpu.append((cpu_seconds(tree(pid)) - before) / (asked * count))
        into.times.setdefault(count, []).extend(times)
        client.close()


def figures(found: dict[str, dict[str, Measured]], statements: dict[int, dict[str, list[float]]]) -> list[Figure]:
    """Return requests a CPU second beside the bare view's and PostGraphile's, and the latencies beside the bare view's.

    statements  milliseconds of the statements alone, by connections and case
    """
    made = []
    for case in CASES:
        mine, bare, graph = (_rate(found[way][case.name]) for way in ("ours", "bare view", "PostGraphile"))
        made.append(Figure(case.name, mine, "/CPU s", bare, f"at least {case.aim}", mine >= case.aim * bare))
        made.append(Figure("  beside PostGraphile", mine, "/CPU s", graph, "more than 1", mine > graph))
        tcp, floor = (percentile(found[way][case.name].times[1], 0.5) for way in ("ours, TCP", "bare view, TCP"))
        made.append(Figure("  TCP, p50", tcp, "ms", floor, f"at most {MOST_TCP:g}", tcp <= MOST_TCP * floor))
        for count in CONNECTIONS:
            for share, name in ((0.5, "p50"), (0.95, "p95")):
                mine, floor, graph = (
                    percentile(found[way][case.name].times[count], share)
                    for way in ("ours", "bare view", "PostGraphile")
                )
                made.append(Figure(f"  {count} connections, {name}", mine, "ms", floor))
                made.append(Figure("    PostGraphile", graph, "ms", floor))
                made.append(Figure("    pgbench", percentile(statements[count][case.name], share), "ms", floor))
    return made


def _rate(of: Measured) -> float:
    return 1 / statistics.median(of.cpu)


def main() -> int:
    """Measure, print, clean up; return 1 when an aim is missed."""
    # pgbench has as many connections as there are clients, which a pool never has.
    with installation(PROJECT_CONNECTIONS="100") as at, tempfile.TemporaryDirectory(prefix="ldb-") as name:
        os.umask(0o077)  # the statements' file names a password
        folder = Path(name)
        configuration = at.settings.instances_folder / prepare(at) / "data-api.conf"
        views = bare_views(configuration, folder / "views.json")
        told = json.loads(views.read_text())
        statements = {count: peers.pgbench(told, folder, count) for count in reversed(CONNECTIONS)}
        found = measure(ways_of(configuration, views, folder))
        print_figures("Requests of the data API, floor: a bare view", figures(found, statements))
    return exit_status(figures(found, statements))


if __name__ == "__main__":
    sys.exit(main())
