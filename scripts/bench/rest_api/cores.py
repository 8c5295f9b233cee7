"""What a second process of the API brings: requests a second, and a second of processor time, with one and with two.

Load generator and Postgres work on the same cores, so the processes never have two to themselves. What they would do
there is told by processor time: a request that costs as much with two as with one is answered by two cores twice as
often.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from infra.pipeline import run
from scripts.bench.figures import Figure, cpu_seconds, exit_status, print_figures, tree
from scripts.bench.installation import BenchInstallation, installation
from scripts.bench.rest_api.latency import QUERY, prepare

SECONDS, CONNECTIONS, LEAST = 8, 16, 1.8
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
    found, usable = {}, sorted(os.sched_getaffinity(0))
    for count in (1, 2):
        rates = {"DATA_RATE_PER_MINUTE": "100000000", "LAUNCHDB_API_PROCESSES": str(count)}
        with installation(**rates) as at:
            found[count] = measured(at, f"/db/{prepare(at)}{QUERY}", set(usable[:count]))
    one, two = found[1], found[2]
    gain = 2 * two.each / one.each
    figures = [
        Figure("requests a second, one process on one core", one.rate, "/s"),
        Figure("requests a second, two on two that others use as well", two.rate, "/s", one.rate),
        Figure("cores that two took", two.cores, "", one.cores),
        Figure("requests a CPU second, one", one.each, "/CPU s"),
        Figure("requests a CPU second, two", two.each, "/CPU s", one.each),
        Figure("two cores beside one", gain, "times", None, f"at least {LEAST}", gain >= LEAST),
        Figure("p50, one", one.p50, "ms"),
        Figure("p50, two", two.p50, "ms", one.p50),
    ]
    print_figures(f"A row by its key on {CONNECTIONS} connections", figures)
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main())
