"""How long a project takes, beside its floors in the same run: a bare view for the 202, bare SQL for the rest.

With --full also whether it takes as long when there are five hundred, which is a minute or two more.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from scripts.bench import provision_floor
from scripts.bench.bare_view import TABLE, bare_view
from scripts.bench.figures import Figure, exit_status, percentile, print_figures
from scripts.bench.installation import BenchInstallation, installation
from scripts.bench.many import measure_many

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

ANSWERS = 200
QUERIES = 30
AT_ONCE = 100
FIRST_QUERY_SECONDS = 30.0


def timed_ms(act: Callable[[], object]) -> float:
    """Return how long `act` takes, in milliseconds."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def measure_answers(at: BenchInstallation, bare: httpx.Client) -> tuple[list[float], list[float]]:
    """Time the 202 and the bare view by turns, so that both meet the same machine; no project is made meanwhile."""
    at.http.post("/api/admin/queues/control/pause").raise_for_status()
    ours, floor = [], []
    for number in range(ANSWERS):
        name = f"answer {number}"
        ours.append(timed_ms(lambda name=name: at.create(name)))  # type: ignore[misc]
        floor.append(timed_ms(lambda name=name: bare.post("/rows", json={"name": name})))  # type: ignore[misc]
    at.http.post("/api/admin/queues/control/resume").raise_for_status()
    return ours, floor


def first_query_ms(at: BenchInstallation, number: int) -> float:
    """Time a project from its request to its first answered query, as a client that waits for the job sees it."""

    def make_and_ask() -> None:
        project = at.create(f"query {number}", wait_seconds=30)["project"]["id"]
        deadline = time.monotonic() + FIRST_QUERY_SECONDS
        # A table that does not exist: the answer PGRST205 comes from the project's own catalogue.
        while at.visitor.get(f"/db/{project}/none").json().get("code") != "PGRST205":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{project} does not answer")
            time.sleep(0.002)

    return timed_ms(make_and_ask)


def measure_burst(at: BenchInstallation) -> float:
    """Ask for many projects at once; return how many became active a second."""
    start = time.perf_counter()
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: at.create(f"crowd {number}"), range(AT_ONCE)))
    at.wait_until_quiet()
    rate = AT_ONCE / (time.perf_counter() - start)
    with at.infra.database.autocommit() as tx:
        active = tx.value("SELECT count(*) FROM projects WHERE name LIKE 'crowd %%' AND status = 'active'")
    if active != AT_ONCE:
        raise RuntimeError(f"only {active} of {AT_ONCE} became active")
    return rate


def main(arguments: list[str]) -> int:
    """Measure and print; return 1 when an aim was missed."""
    with installation() as at:
        provision_floor.prepare(at.infra)
        with at.infra.database.autocommit() as tx:
            tx.execute(TABLE)
        with bare_view(at.settings.database_url) as bare:
            ours, floor = measure_answers(at, bare)
        at.wait_until_quiet()
        # By turns: what the disk does to one it does to the other.
        pairs = [(first_query_ms(at, number), provision_floor.floor_ms(at.infra, 1)[0]) for number in range(QUERIES)]
        queries, sql = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        sql_rate = provision_floor.floor_rate(at.infra)
        rate = measure_burst(at)
    p95, p95_floor = percentile(ours, 0.95), percentile(floor, 0.95)
    first, sql_ms = percentile(queries, 0.5), percentile(sql, 0.5)
    figures = [
        Figure("202 of POST /api/projects, p50", percentile(ours, 0.5), "ms", percentile(floor, 0.5)),
        Figure("202 of POST /api/projects, p95", p95, "ms", p95_floor, "<= 3 x", p95 <= 3 * p95_floor),
        Figure("request to first query, p50", first, "ms", sql_ms, "<= 2 x", first <= 2 * sql_ms),
        Figure("request to first query, p95", percentile(queries, 0.95), "ms"),
        Figure(f"{AT_ONCE} at once", rate, "projects/s", sql_rate, ">= 0.6 x", rate >= 0.6 * sql_rate),
    ]
    figures += measure_many() if "--full" in arguments else []
    print_figures("Provisioning", figures)
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
