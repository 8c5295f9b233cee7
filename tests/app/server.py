"""The platform API as it is served: a gunicorn process of this test's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Url(str):
    """Where a server is, and the process id of it."""

    __slots__ = ("pid",)


@contextmanager
def served(settings, service="platform", **more):
    """Run `launchdb serve`; give its URL."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(CHECKOUT),
        "LAUNCHDB_HOME": str(settings.home),
        "LAUNCHDB_DATABASE_URL": settings.database_url,
        "LAUNCHDB_REDIS_URL": settings.redis_url,
        "LAUNCHDB_PORT": str(port),
        **more,
    }
    log = (settings.home / "api.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.cli", "serve", service], cwd=CHECKOUT, env=environment, stderr=log, stdout=log
    )
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
    deadline = time.monotonic() + 20
    while True:
        try:
            if httpx.get(f"{url}/api/health").status_code == 200:
                return
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.05)
