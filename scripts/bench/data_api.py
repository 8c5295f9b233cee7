"""Requests a second and latency of the data API beside a bare Flask view with psycopg, in one run.

Usage: python -m scripts.bench.data_api postgresql://postgres:…@127.0.0.1:5432/postgres
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
from flask import Flask, Response
from psycopg import sql
from werkzeug.test import Client

from app.data.serve.config_source import ConfigSource
from app.data.serve.standalone import DataApi

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, COLD_ROUNDS = 1500, 15
DATABASE = "launchdb_bench_data"
QUERY = "SELECT coalesce(json_agg(t), '[]')::text FROM (SELECT * FROM items WHERE id = %s) t"


def prepare(url: str) -> str:
    """Make a database with a small table; return the URL that reaches it."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    target = psycopg.conninfo.make_conninfo(url, dbname=DATABASE)
    with psycopg.connect(target, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS launchdb_bench_reader")
        owner.execute("CREATE ROLE launchdb_bench_reader NOLOGIN")
        owner.execute("CREATE TABLE items AS SELECT id, 'item ' || id AS name FROM generate_series(1, 1000) id")
        owner.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
        owner.execute("GRANT SELECT ON items TO launchdb_bench_reader")
    return target


def bare(target: str) -> Flask:
    """Make the application to compare with: one view, one statement, one connection."""
    app, connection = Flask("bare"), psycopg.connect(target, autocommit=True)

    @app.get("/items")
    def items() -> Response:
        row = connection.execute(QUERY, (7,)).fetchone()
        return Response(row[0] if row else "[]", content_type="application/json")

    return app


def measured(call: Callable[[], Any], rounds: int) -> list[float]:
    """Return the milliseconds of each call, sorted."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times)


def report(name: str, times: list[float]) -> None:
    """Print median, p95 and rate."""
    p95 = times[int(len(times) * 0.95)]
    rate = 1000 / statistics.mean(times)
    print(f"{name:24} p50 {statistics.median(times):7.2f} ms   p95 {p95:7.2f} ms   {rate:8.0f}/s")


def main(url: str) -> int:
    """Measure, print and clean up."""
    target = prepare(url)
    source = ConfigSource({"PGRST_DB_URI": target, "PGRST_DB_ANON_ROLE": "launchdb_bench_reader"}, None)
    api = DataApi(source)
    ours, plain = Client(api), bare(target).test_client()
    numbers = iter(range(10**9))
    for client, name, path in (
        (plain, "bare view", "/items"),
        (ours, "data API, same query", "/items?id=eq.7"),
    ):
        for _ in range(50):
            client.get(path)
        report(name, measured(lambda client=client, path=path: client.get(path), ROUNDS))  # type: ignore[misc]
    report("data API, new query", measured(lambda: ours.get(f"/items?id=eq.{next(numbers) % 1000}"), ROUNDS))
    report("bare connection", measured(lambda: psycopg.connect(target).close(), COLD_ROUNDS))

    def cold() -> None:
        fresh = DataApi(source)
        Client(fresh).get("/items?id=eq.7")
        fresh.instance.close()

    report("cold, with connection", measured(cold, COLD_ROUNDS))
    api.instance.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
