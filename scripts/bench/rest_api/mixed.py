"""A realistic load: many projects of which few are busy; reads, writes, errors, and schemas that change meanwhile.

Each answer is looked at: a row is what was written, an error is the one that was asked for, a column is seen by the
next request. In the end memory is as it was after the beginning, and there were never more connections than there may
be.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from app.data.run.registry import CONNECTIONS_MAX
from scripts.bench.figures import Figure, exit_status, percentile, print_figures, tree
from scripts.bench.installation import installation
from scripts.bench.rest_api.cores import api_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.bench.installation import BenchInstallation

PROJECTS, CLIENTS, SECONDS, SETTLED_SECONDS, ROWS = 200, 8, 300.0, 60.0, 50
ZIPF = 1.1
MOST_GROWTH = 1.15
TABLES = """
CREATE TABLE items AS SELECT id, id * {factor} AS value FROM generate_series(1, 50) id;
ALTER TABLE items ADD PRIMARY KEY (id);
CREATE TABLE notes (id text PRIMARY KEY, said text NOT NULL);
CREATE FUNCTION add(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
GRANT SELECT ON items TO {anon};
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO {anon};
"""


class WrongAnswer(Exception):
    """An answer is not what it has to be."""


@dataclass
class Load:
    """What the clients share. changing: a project's schema is changed by one of them at a time."""

    port: int
    conninfo: str
    projects: list[str]
    until: float
    changing: list[threading.Lock] = field(default_factory=list)
    columns: Counter[int] = field(default_factory=Counter)


@dataclass
class Seen:
    """What one client has seen: how many requests of a kind, and milliseconds of all."""

    kinds: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)


class Client:
    """Asks one thing after the other, mostly of few projects."""

    def __init__(self, load: Load, number: int) -> None:
        self._load, self._number, self.seen = load, number, Seen()
        self._random = random.Random(number)
        self._connection = http.client.HTTPConnection("127.0.0.1", load.port, timeout=30)
        self._weights = [1 / (place + 1) ** ZIPF for place in range(len(load.projects))]
        self._written = 0
        self._ways: list[tuple[Callable[[int], None], int]] = [
            (self._read, 60), (self._list, 10), (self._write, 15), (self._call, 5), (self._err, 9), (self._change, 1),
        ]  # fmt: skip

    def run(self) -> Seen:
        """Ask until the time is over. Raises WrongAnswer."""
        ways, weights = [way for way, _ in self._ways], [weight for _, weight in self._ways]
        while time.monotonic() < self._load.until:
            [place] = self._random.choices(range(len(self._load.projects)), self._weights)
            [way] = self._random.choices(ways, weights)
            way(place)
            self.seen.kinds[way.__name__.strip("_")] += 1
        self._connection.close()
        return self.seen

    def _read(self, place: int) -> None:
        number = self._random.randint(1, ROWS)
        self._ask(
            place, "GET", f"/items?select=id,value&id=eq.{number}", [{"id": number, "value": number * (place + 1)}]
        )

    def _list(self, place: int) -> None:
        rows = [{"value": number * (place + 1)} for number in range(ROWS, 0, -1)]
        self._ask(place, "GET", "/items?select=value&order=id.desc", rows)

    def _write(self, place: int) -> None:
        self._written += 1
        row = {"id": f"{self._number}-{self._written}", "said": f"ä {self._random.random()}"}
        self._ask(place, "POST", "/notes", None, row, status=201)
        self._ask(place, "PATCH", f"/notes?id=eq.{row['id']}", None, {"said": "b"}, status=204)
        self._ask(place, "GET", f"/notes?id=eq.{row['id']}", [{**row, "said": "b"}])
        self._ask(place, "DELETE", f"/notes?id=eq.{row['id']}", None, status=204)

    def _call(self, place: int) -> None:
        number = self._random.randint(1, 1000)
        self._ask(place, "POST", "/rpc/add", number + 7, {"a": number, "b": 7})

    def _err(self, place: int) -> None:
        path, status, code = self._random.choice(
            [("/nothing", 404, "PGRST205"), ("/items?id=eq.a", 400, "22P02"), ("/items?id=strange.1", 400, "PGRST100")]
        )
        said = self._ask(place, "GET", path, status=status)
        if json.loads(said)["code"] != code:
            raise WrongAnswer(f"{path}: {said!r}")

    def _change(self, place: int) -> None:
        with self._load.changing[place]:
            self._load.columns[place] += 1
            number = self._load.columns[place]
            change = (
                f"ALTER TABLE items DROP COLUMN IF EXISTS more{number - 1}; "
                f"ALTER TABLE items ADD COLUMN more{number} int DEFAULT {number}"
            )
            with psycopg.connect(self._load.conninfo, dbname=self._load.projects[place], autocommit=True) as admin:
                admin.execute(change)
            self._ask(place, "GET", f"/items?select=more{number}&id=eq.1", [{f"more{number}": number}])
            if number > 1:
                self._ask(place, "GET", f"/items?select=more{number - 1}&id=eq.1", status=400)

    def _ask(
        self, place: int, method: str, path: str, wanted: Any = None, sent: Any = None, *, status: int = 200
    ) -> bytes:
        began = time.perf_counter()
        headers = {"Content-Type": "application/json"} if sent is not None else {}
        body = json.dumps(sent) if sent is not None else None
        self._connection.request(method, f"/db/{self._load.projects[place]}{path}", body, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        self.seen.times.append((time.perf_counter() - began) * 1000)
        if answer.status != status or (wanted is not None and json.loads(said) != wanted):
            raise WrongAnswer(f"{method} {path} of project {place}: {answer.status} {said[:500]!r}")
        return said


def prepare(at: BenchInstallation, count: int) -> list[str]:
    """Make projects with what is asked for."""
    made = [at.create(f"mixed-{number}")["project"]["id"] for number in range(count)]
    at.wait_until_quiet(600)
    for place, project in enumerate(made):
        with psycopg.connect(at.infra.database.conninfo, dbname=project, autocommit=True) as admin:
            anon = sql.Identifier(f"{project}_anon").as_string(admin)
            admin.execute(TABLES.format(factor=place + 1, anon=anon))
    return made


def watch(at: BenchInstallation, until: float) -> tuple[list[int], list[float]]:
    """Return how many connections there were to projects for their data, and the API's megabytes, once a second."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'launchdb-data:%'"
    counts, memory, api = [], [], api_process(at)
    with psycopg.connect(at.infra.database.conninfo, autocommit=True) as admin:
        while time.monotonic() < until:
            counts.append((admin.execute(query).fetchone() or [0])[0])
            memory.append(sum(_resident_kb(pid) for pid in tree(api)) / 1024)
            time.sleep(1)
    return counts, memory


def _resident_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def main() -> int:
    """Load, print, clean up; return 1 when an aim is missed. The first argument: for how many seconds."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with installation(DATA_RATE_PER_MINUTE="100000000") as at:
        projects = prepare(at, PROJECTS)
        load = Load(at.settings.port, at.infra.database.conninfo, projects, time.monotonic() + seconds)
        load.changing = [threading.Lock() for _ in projects]
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            watched = pool.submit(watch, at, load.until)
            running = [pool.submit(Client(load, number).run) for number in range(CLIENTS)]
            seen = [each.result() for each in running]
        counts, memory = watched.result()
    times = [each for one in seen for each in one.times]
    kinds: Counter[str] = sum((one.kinds for one in seen), Counter())
    settled, grown = memory[min(len(memory) // 2, int(SETTLED_SECONDS))], memory[-1]
    figures = [
        Figure("requests, all answered right", len(times), ""),
        *(Figure(f"  {kind}", count, "") for kind, count in sorted(kinds.items())),
        Figure("p50", percentile(times, 0.5), "ms"),
        Figure("p95", percentile(times, 0.95), "ms"),
        Figure("p99", percentile(times, 0.99), "ms"),
        Figure("connections at most", max(counts), "", CONNECTIONS_MAX, "at most 1", max(counts) <= CONNECTIONS_MAX),
        Figure("memory at the end", grown, "MB", settled, f"at most {MOST_GROWTH}", grown <= MOST_GROWTH * settled),
    ]  # fmt: skip
    print_figures(f"{PROJECTS} projects, {CLIENTS} clients, {seconds:g} s", figures)
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main())
