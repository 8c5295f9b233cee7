"""What a second process of the API brings: requests a second, and a second of processor time, with one and with two.

Load generator and Postgres work on the same cores, so the processes never have two to themselves. What they would do
there is told by processor time: a request that costs as much with two as with one is answered by two cores twice as
often. By turns, medians of the rounds.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path

from infra.pipeline import run
from scripts.bench.figures import Figure, cpu_seconds, exit_status, print_figures, tree
from scripts.bench.installation import BenchInstallation, installation
from scripts.bench.rest_api.latency import QUERY, prepare

ROUNDS, SECONDS, CONNECTIONS, LEAST = 5, 4, 16, 1.8
OPEN = {"DATA_RATE_PER_MINUTE": "100000000"}
_DONE = re.compile(r"(\d+) requests in")
_P50 = re.compile(r"50%\s+([\d.]+)(us|ms|s)")


@dataclass(frozen=True)
class Run:
    """One run: requests a second, seconds of processor a second, and milliseconds at the median."""

    rate: float
    cores: float
    p50: float

    @property
    def each(self) -> float:
        """Return requests a second of processor time."""
        return self.rate / self.cores


def api_process(at: BenchInstallation) -> int:
    """Return the first process of the API."""
    for pid in tree(at.supervisor):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if words[-3:-1] == [b"serve", b"all"]:
            return pid
    raise RuntimeError("there is no API")


def measured(at: BenchInstallation, path: str, cores: set[int]) -> Run:
    """Return what the API does for a load of so many connections, with these cores."""
    api = api_process(at)
    for pid in tree(api):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)
    load(at, path, 2)
    before, began = cpu_seconds(tree(api)), time.monotonic()
    said = load(at, path, SECONDS)
    seconds, cpu = time.monotonic() - began, cpu_seconds(tree(api)) - before
    if "Non-2xx" in said or "Socket errors" in said or (done := _DONE.search(said)) is None:
        raise RuntimeError(said)
    return Run(int(done[1]) / seconds, cpu / seconds, _milliseconds(said))


def load(at: BenchInstallation, path: str, seconds: int) -> str:
    """Ask for so many seconds, and as often as there are answers; return what wrk says of it."""
    command = [
        "wrk",
        "-t",
        "1",
        "-c",
        str(CONNECTIONS),
        "-d",
        str(seconds),
        "--latency",
        f"{at.settings.base_url}{path}",
    ]
    return run(command, timeout_seconds=seconds + 30)


def _milliseconds(said: str) -> float:
    found = _P50.search(said)
    if found is None:
        raise RuntimeError(said)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def main() -> int:
    """Measure, print, clean up; return 1 when the aim is missed."""
    if shutil.which("wrk") is None:
        sys.exit("this bench needs wrk (Debian: wrk)")
    usable = sorted(os.sched_getaffinity(0))
    # With one process on both cores its threads wake each other across them, on one they do not.
    ways = {"one on one core": (1, 1), "one on two": (1, 2), "two on two": (2, 2)}
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    with ExitStack() as stack:
        served = {}
        for count in (1, 2):
            at = stack.enter_context(installation(**OPEN, LAUNCHDB_API_PROCESSES=str(count)))
            served[count] = at, f"/db/{prepare(at)}{QUERY}"
        for _ in range(ROUNDS):
            for way, (count, cores) in ways.items():
                runs[way].append(measured(*served[count], set(usable[:cores])))
    found = {way: Run(*map(statistics.median, zip(*map(astuple, each), strict=True))) for way, each in runs.items()}
    two = found.pop("two on two")
    best = max(found.values(), key=lambda run: run.each)
    gain = 2 * two.each / best.each
    figures = [
        *(Figure(f"requests a second, {way}", run.rate, "/s") for way, run in found.items()),
        Figure("requests a second, two on two that others use as well", two.rate, "/s", best.rate),
        *(Figure(f"requests a CPU second, {way}", run.each, "/CPU s") for way, run in found.items()),
        Figure("requests a CPU second, two on two", two.each, "/CPU s", best.each),
        Figure("cores that two took", two.cores, "", best.cores),
        Figure("two cores beside the better of one", gain, "times", None, f"at least {LEAST}", gain >= LEAST),
        *(Figure(f"p50, {way}", run.p50, "ms") for way, run in found.items()),
        Figure("p50, two on two", two.p50, "ms", best.p50),
    ]
    print_figures(f"A row by its key on {CONNECTIONS} connections", figures)
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main())
