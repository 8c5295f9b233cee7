"""The platform API as it is served: a gunicorn process of this test's own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx

from tests.fixtures.forked import CHECKOUT, environment_of


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Url(str):
    """Where a server is, and the process id of it, which leads a session of its own."""

    __slots__ = ("pid",)


@contextmanager
def served(settings, service="platform", *, port=None, **more):
    """Run `launchdb serve`; give its URL. port: where; None: wherever it is free."""
    port = port or free_port()
    environment = environment_of(settings, **{"LAUNCHDB_PORT": str(port), **more})
    log = (settings.home / "api.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.cli", "serve", service],
        cwd=CHECKOUT, env=environment, stderr=log, stdout=log, start_new_session=True,
    )  # fmt: skip
    url = Url(f"http://127.0.0.1:{port}")
    url.pid = process.pid
    try:
        _wait(url, process, settings.home / "api.log")
        yield url
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _wait(url, process, log) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/api/health").status_code == 200:
                return
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.05)
