"""What Caddy adds: the same requests straight at a data API's socket and through Caddy, by turns, in the same run."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import CHECKOUT
from infra.edge.proxy import CaddyProxy, Upstreams
from infra.embedded.programs import caddy_binary
from infra.errors import Unavailable
from infra.pipeline import spawn
from infra.sockets import is_listening
from scripts.bench.figures import Figure, exit_status, percentile, print_figures
from scripts.bench.installation import BenchInstallation, free_port, installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUESTS, WARM_UP = 2000, 200
MOST_ADDED_MS = 1.0
START_SECONDS = 20.0


class OnSocket(HTTPConnection):
    """A kept connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("data-api")
        self._path = str(path)

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a state. Raises TimeoutError."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("a program did not start")
        time.sleep(0.05)


@contextmanager
def program(home: Path, *argv: str) -> Iterator[None]:
    """Run a program until the block ends."""
    # The last configuration, which Caddy also keeps for itself, goes with the bench.
    command = ["env", f"HOME={home}", f"XDG_CONFIG_HOME={home}", *argv]
    with Path("/dev/null").open("wb") as nothing:
        process = spawn(command, cwd=CHECKOUT, stdout=nothing, stderr=nothing)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(proxy: CaddyProxy) -> bool:
    """Return whether Caddy serves."""
    try:
        proxy.served()
    except Unavailable:
        return False
    return True


def ask_ms(connection: HTTPConnection, path: str, headers: dict[str, str]) -> float:
    """Time one request, in milliseconds."""
    started = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    taken = (time.perf_counter() - started) * 1000
    if answer.status != 200 or not isinstance(json.loads(body), list):
        raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
    return taken


def measure_latency(at: BenchInstallation, stack: ExitStack) -> tuple[list[float], list[float]]:
    """Return the times straight at the socket and through Caddy."""
    project = at.create("edge", wait_seconds=60)["project"]["id"]
    known = at.http.get(f"/api/projects/{project}/connection").json()
    sql = {"query": "CREATE TABLE t AS SELECT 1 AS id; GRANT SELECT ON t TO service_role"}
    for statement in sql["query"].split("; "):
        at.http.post(f"/api/projects/{project}/sql", json={"query": statement}).raise_for_status()
    settings = at.settings.model_copy(update={"domain": "bench.test", "tls": "off", "http_port": free_port()})
    proxy = CaddyProxy(settings, Upstreams(platform=at.settings.base_url.removeprefix("http://")))
    place = settings.run_folder / "projects" / project / "api.sock"
    place.parent.mkdir(parents=True)
    configuration = place.with_name("data-api.conf")
    text = (settings.instances_folder / project / "data-api.conf").read_text()
    configuration.write_text(f'{text}server-unix-socket = "{place}"\n')
    stack.callback(shutil.rmtree, place.parent)
    stack.enter_context(program(settings.home, sys.executable, "-m", "app.data.serve.standalone", str(configuration)))
    until(lambda: is_listening(place))
    proxy.write()
    stack.enter_context(
        program(settings.home, str(caddy_binary()), "run", "--config", str(proxy.file), "--adapter", "caddyfile")
    )
    until(lambda: answers(proxy))
    headers = {"apikey": known["serviceRoleKey"], "Authorization": f"Bearer {known['serviceRoleKey']}"}
    straight, through = OnSocket(place), HTTPConnection("127.0.0.1", settings.http_port)
    floor, ours = [], []
    for _ in range(REQUESTS + WARM_UP):
        floor.append(ask_ms(straight, "/t?limit=1", headers))
        path = f"/project/{project}/rest/v1/t?limit=1"
        ours.append(ask_ms(through, path, {**headers, "Host": "bench.test"}))
    return floor[WARM_UP:], ours[WARM_UP:]


def main() -> int:
    """Measure and print; return 1 when the aim was missed."""
    with ExitStack() as stack:
        at = stack.enter_context(installation())
        floor, ours = measure_latency(at, stack)
    figures = [
        Figure(f"through Caddy, p{share * 100:.0f}", percentile(ours, share), "ms", percentile(floor, share))
        for share in (0.5, 0.95, 0.99)
    ]
    added = percentile(ours, 0.5) - percentile(floor, 0.5)
    figures.append(
        Figure("added by Caddy, p50", added, "ms", aim=f"at most {MOST_ADDED_MS:.0f}", reached=added <= MOST_ADDED_MS)
    )
    print_figures(f"a data API behind Caddy, {REQUESTS} requests by turns", figures)
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main())
