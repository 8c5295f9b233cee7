"""What a data API needs for a schema that it has not seen before: seconds, and bytes."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.data.parse.request import RawRequest
from scripts.bench.large_schema.generator import table_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from app.data.run.instance import Instance
    from app.data.run.respond import DataResponse

MB = 1024 * 1024
CLIENTS = 6


@dataclass(frozen=True)
class LargeSchemaFigures:
    """Seconds of requests to a schema that nobody has asked for before, megabytes of its cache, and failed requests.

    unknown_name is of the slowest of many requests for what there is not, reload of the slowest while the schema
    changes.
    """

    first_request: float
    first_embedding: float
    description: float
    unknown_name: float
    reload: float
    reloads: int
    failed: int
    cache_mb: float


def ask(instance: Instance, target: str, method: str = "GET") -> DataResponse:
    """Ask a data API as the anonymous role."""
    path, _, query = target.partition("?")
    return instance.answer(RawRequest(method, path, query, {}, b""))


def measure(make: Callable[[], Instance], owner: psycopg.Connection[object]) -> LargeSchemaFigures:
    """Measure data APIs of a generated schema. owner: may change it."""
    cache_mb = cache_bytes(make) / MB
    with closing(make()) as instance:
        first = _seconds(instance, f"/{table_name(0)}?limit=1")
        embedding = _seconds(instance, embedding_target(owner))
        description = _seconds(instance, "/")
        counted = sum(instance.pool.counters.loads.values())
        unknown = max(_seconds(instance, target, also=(400, 404)) for target in unknown_names())
        reloads = sum(instance.pool.counters.loads.values()) - counted
        slowest, failed = _through_a_reload(instance, owner)
    return LargeSchemaFigures(first, embedding, description, unknown, slowest, reloads, failed, cache_mb)


def cache_bytes(make: Callable[[], Instance]) -> int:
    """Return how much memory the whole schema cache of a data API holds."""
    with closing(make()) as instance:
        gc.collect()
        tracemalloc.start()
        try:
            cache = instance.ready()
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        del cache
    return held


def embedding_target(owner: psycopg.Connection[Any]) -> str:
    """Return a request that embeds a relation by a foreign key."""
    found = owner.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f' ORDER BY conname LIMIT 1"
    ).fetchone()
    assert found is not None  # noqa: S101 - a generated schema has foreign keys
    return "/{}?select=*,{}(*)&limit=1".format(*found)


def unknown_names() -> list[str]:
    """Return requests that name relations, functions, columns and embedded relations that there are not."""
    kinds = (
        "/{}",
        "/rpc/{}",
        f"/{table_name(0)}?select={{}}(*)",
        f"/{table_name(0)}?select={{}}",
        "/{}?select=id,more(*)",
    )
    return [kind.format(f"{table_name(number)}x") for kind in kinds for number in range(20)]


def _seconds(instance: Instance, target: str, also: tuple[int, ...] = (200,)) -> float:
    began = time.perf_counter()
    answer = ask(instance, target)
    taken = time.perf_counter() - began
    if answer.status not in also:
        raise RuntimeError(f"{target}: {answer.status} {answer.body[:300]!r}")
    return taken


def _through_a_reload(instance: Instance, owner: psycopg.Connection[object]) -> tuple[float, int]:
    """Ask while the schema changes; return the seconds of the slowest request, and how many were not answered well."""
    ended, taken, failed = threading.Event(), [0.0], []

    def client(number: int) -> None:
        while not ended.is_set():
            began = time.perf_counter()
            answer = ask(instance, f"/{table_name(number)}?limit=1")
            taken.append(time.perf_counter() - began)
            if answer.status != 200:
                failed.append(answer.status)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    try:
        for _ in range(3):
            owner.execute(f"ALTER TABLE {table_name(2)} ADD COLUMN added_{time.monotonic_ns()} int".encode())
            time.sleep(1)
    finally:
        ended.set()
        for each in clients:
            each.join()
    return max(taken), len(failed)
