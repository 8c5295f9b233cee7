"""What a request of the data API costs, beside a bare Flask view that runs the same statement under the same server.

By processor time of the server alone, and by turns, so that a machine that is busy otherwise changes little. Both are
asked over a Unix socket, where a project's container answers.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from app.data.parse import request as requests
from app.data.plan import schema
from app.data.serve.standalone import ConfigSource, DataApi
from app.data.sql import statement
from scripts.bench.figures import Figure, cpu_seconds, exit_status, percentile, print_figures, tree
from scripts.bench.front_bench import running
from scripts.bench.front_serve import ALONE
from scripts.bench.installation import installation

if TYPE_CHECKING:
    from app.data.config import DataConfig
    from scripts.bench.installation import BenchInstallation

ROUNDS, WARM_UP, REQUESTS = 3, 160, 960
CONNECTIONS = (1, 8, 32)
ROWS = 1000
# Such as supabase-js sends: what a request costs hangs on how many there are.
HEADERS = (
    "Host: bench.test\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: node\r\nX-Client-Info: bench"
)
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


@dataclass(frozen=True)
class Case:
    """One kind of request. id: the path has a number in place of `{}`, another each time; aim: least ratio."""

    name: str
    method: str
    path: str
    aim: float
    body: str = ""
    status: int = 200

    def request(self, number: int, path: str = "") -> bytes:
        """Return the request as it is sent, with this number. path: of a view that answers the same."""
        more = f"\r\nContent-Type: application/json\r\nContent-Length: {len(self.body)}" if self.body else ""
        line = f"{self.method} {(path or self.path).format(number)} HTTP/1.1"
        return f"{line}\r\n{HEADERS}{more}\r\n\r\n{self.body}".encode()


CASES = (
    Case("a row by its key", "GET", "/items?id=eq.{}", 0.7),
    Case("100 rows", "GET", "/items?order=id&limit=100", 0.85),
    Case("a row with an embedded resource", "GET", "/authors?id=eq.{}&select=id,name,books(id,title)", 0.7),
    Case("insert", "POST", "/notes", 0.7, '{"name":"a note"}', 201),
    Case("rpc", "POST", "/rpc/add", 0.7, '{"a":1,"b":2}'),
)


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


class Client:
    """Kept connections to a Unix socket that ask by turns; an answer has a length."""

    def __init__(self, place: Path, count: int, *, bare: bool = False) -> None:
        self._connections = [socket.socket(socket.AF_UNIX) for _ in range(count)]
        for connection in self._connections:
            connection.settimeout(20)
            connection.connect(str(place))
        self._number, self._bare = 0, bare

    def ask(self, case: Case, rounds: int) -> list[float]:
        """Ask on all connections at once, so many times; return the milliseconds of each answer."""
        times, path = [], _bare_path(case) if self._bare else ""
        for _ in range(rounds):
            began = []
            for connection in self._connections:
                self._number = self._number % ROWS + 1
                began.append(time.perf_counter())
                connection.sendall(case.request(self._number, path))
            for connection, start in zip(self._connections, began, strict=True):
                _read(connection, case.status)
                times.append((time.perf_counter() - start) * 1000)
        return times

    def close(self) -> None:
        """End the connections."""
        for connection in self._connections:
            connection.close()


def _read(connection: socket.socket, status: int) -> None:
    said = b""
    while b"\r\n\r\n" not in said:
        said += _more(connection, said)
    head, _, body = said.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 %d " % status):
        raise RuntimeError(f"{said[:300]!r}")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += _more(connection, said)


def _more(connection: socket.socket, said: bytes) -> bytes:
    found = connection.recv(262_144)
    if not found:
        raise RuntimeError(f"the server has ended the connection: {said[:300]!r}")
    return found


def measure(place: Path, ways: dict[str, tuple[str, str]]) -> dict[str, dict[str, Measured]]:
    """Return what each way costs for each case, asked by turns. ways: the server and what it serves, by name."""
    found = {way: {case.name: Measured() for case in CASES} for way in ways}
    for _ in range(ROUNDS):
        for way, (server, served) in ways.items():
            with running(server, place, served) as pid:
                for case in CASES:
                    _measure_case(place, pid, case, found[way][case.name], bare=served.endswith(".json"))
    return found


def _measure_case(place: Path, pid: int, case: Case, into: Measured, *, bare: bool) -> None:
    for count in CONNECTIONS:
        client = Client(place, count, bare=bare)
        client.ask(case, max(1, WARM_UP // count))
        before, asked = cpu_seconds(tree(pid)), REQUESTS // count
        times = client.ask(case, asked)
        if count == 8:
            into.cpu.append((cpu_seconds(tree(pid)) - before) / (asked * count))
        into.times.setdefault(count, []).extend(times)
        client.close()


def figures(found: dict[str, dict[str, Measured]]) -> list[Figure]:
    """Return requests a CPU second beside the bare view's, and the latencies."""
    ours, bare = found["ours"], found["bare view"]
    made = []
    for case in CASES:
        mine, floor = (1 / statistics.median(way[case.name].cpu) for way in (ours, bare))
        made.append(Figure(case.name, mine, "/CPU s", floor, f"at least {case.aim}", mine >= case.aim * floor))
        for count in CONNECTIONS:
            for share, name in ((0.5, "p50"), (0.95, "p95")):
                mine, floor = (percentile(way[case.name].times[count], share) for way in (ours, bare))
                made.append(Figure(f"  {count} connections, {name}", mine, "ms", floor))
    return made


def main() -> int:
    """Measure, print, clean up; return 1 when an aim is missed."""
    with installation() as at, tempfile.TemporaryDirectory(prefix="ldb-") as folder:
        os.umask(0o077)  # the statements' file names a password
        configuration = at.settings.instances_folder / prepare(at) / "data-api.conf"
        views = bare_views(configuration, Path(folder) / "views.json")
        ways = {"ours": (ALONE, str(configuration)), "bare view": ("ours", str(views))}
        found = figures(measure(Path(folder) / "s", ways))
    print_figures("Requests of the data API beside a bare view", found)
    return exit_status(found)


if __name__ == "__main__":
    sys.exit(main())
