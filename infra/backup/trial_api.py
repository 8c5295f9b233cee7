"""A data API of its own for one database, for a moment, on a Unix socket: to ask a restored copy as clients would."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from config.settings import CHECKOUT
from infra.errors import Unavailable
from infra.pipeline import SECRET, stage
from infra.sockets import is_listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS, LOOK_SECONDS, ANSWER_SECONDS = 30.0, 0.05, 60.0


@contextmanager
def serve_data_api(configuration: str, path: Path) -> Iterator[httpx.Client]:
    """Lend a client of a data API that is configured so; it is gone afterwards.

    configuration  in PostgREST's syntax; it lies in memory, as it holds secrets
    path           where the socket is made

    Raises Unavailable when it does not come to answer.
    """
    path.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "app.data.serve.standalone", f"/dev/fd/{SECRET}"]
    env = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(path.parent)}
    secret = f'{configuration}server-unix-socket = "{path}"\n'
    try:
        with (
            stage(argv, env=env, secret=secret, whole=False) as process,
            httpx.Client(
                transport=httpx.HTTPTransport(uds=str(path)), base_url="http://trial", timeout=ANSWER_SECONDS
            ) as client,
        ):
            deadline = time.monotonic() + START_SECONDS
            while not is_listening(path):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable("a data API for the restored database did not come to answer")
                time.sleep(LOOK_SECONDS)
            yield client
    finally:
        path.unlink(missing_ok=True)
