"""The floor of a 202: a bare Flask view that inserts one row, on the same server with as many threads."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import flask
import httpx
from psycopg_pool import ConnectionPool

from config.settings import CHECKOUT
from infra.pipeline import spawn
from scripts.bench.installation import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "CREATE TABLE IF NOT EXISTS bench_rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL)"
THREADS = 32
START_SECONDS = 20.0


def make(conninfo: str) -> flask.Flask:
    """Return the application gunicorn serves."""
    app = flask.Flask(__name__)
    pool = ConnectionPool(conninfo, min_size=1, max_size=16, open=True)

    @app.post("/rows")
    def insert() -> tuple[dict[str, int], int]:
        with pool.connection() as connection:
            row = connection.execute(
                "INSERT INTO bench_rows (name) VALUES (%s) RETURNING id", (flask.request.get_json()["name"],)
            ).fetchone()
        return {"id": row[0] if row else 0}, 202

    return app


@contextmanager
def bare_view(conninfo: str) -> Iterator[httpx.Client]:
    """Serve the bare view until the block ends; yields a client of it."""
    port = free_port()
    process = spawn(
        [Path(sys.executable).with_name("gunicorn"), "-w", "1", "-k", "gthread", "--threads", str(THREADS),
         "-b", f"127.0.0.1:{port}", "--no-control-socket", f"scripts.bench.bare_view:make({conninfo!r})"],
        cwd=CHECKOUT,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    client.post("/rows", json={"name": "first"}).raise_for_status()
                    break
                except httpx.TransportError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait()
