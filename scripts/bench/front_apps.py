"""What `front_bench` has servers serve: a bare view, a data API, and an application that shows how a server behaves."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
from flask import Flask, Response, request
from psycopg import sql
from psycopg.types.string import TextLoader

from app.data.serve.config_source import ConfigSource
from app.data.serve.standalone import DataApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

BIG_BYTES, PART_BYTES = 8_000_000, 65_536
SLOW_SECONDS = 1.0
_EQUAL = re.compile(r"eq\.([0-9]+)")
_JSON = [("Content-Type", "application/json")]


def bare(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Answer 60 bytes."""
    body = json.dumps([{"id": 7, "name": "item 7", "note": "as small as a row"}]).encode()
    start("200 OK", [*_JSON, ("Content-Length", str(len(body)))])
    return [body]


def data_api(configuration: Path) -> App:
    """Return the data API of a project, as its container serves it, with that configuration."""
    served = DataApi(ConfigSource({}, str(configuration)))

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        # gunicorn's word for the target as it was sent, which others do not give.
        environ.setdefault("RAW_URI", f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}")
        return served(environ, start)

    return app


def bare_sql(file: Path) -> Flask:
    """Return Flask views that run one prepared statement each, on a connection of their thread.

    file  JSON: `conninfo`, `role`, and `views`, of which each has a `method`, a `path`, the `status` of its answer, an
          `sql` with named placeholders, its `values`, and where a request's own go: `id` and `body` name placeholders
    """
    spec = json.loads(file.read_text())
    app, held = Flask("bare"), threading.local()

    def connection() -> psycopg.Connection[Any]:
        if not hasattr(held, "connection"):
            held.connection = _connected(spec["conninfo"], spec["role"])
        return held.connection  # type: ignore[no-any-return]

    def add(number: int, view: dict[str, Any]) -> None:
        def answer() -> Response:
            values = dict(view["values"])
            if view["id"]:
                values[view["id"]] = _EQUAL.match(request.args["id"])[1]  # type: ignore[index]
            if view["body"]:
                values[view["body"]] = request.get_data(as_text=True)
            row = connection().execute(view["sql"], values).fetchone()
            return Response(row[2] if row else "", view["status"], content_type="application/json")

        app.add_url_rule(view["path"], f"view{number}", answer, methods=[view["method"]])

    for number, view in enumerate(spec["views"]):
        add(number, view)
    return app


def _connected(conninfo: str, role: str) -> psycopg.Connection[Any]:
    found = psycopg.connect(conninfo, autocommit=True, prepare_threshold=0)
    for kind in ("json", "jsonb"):  # their text is the answer
        found.adapters.register_loader(kind, TextLoader)
    found.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    return found


def behaviour(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer by path what one of the checks asks for."""
    return _WAYS.get(environ["PATH_INFO"], bare)(environ, start)


def _echo(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Send each part of the body back as it comes."""
    start("200 OK", [("Content-Type", "application/octet-stream")])
    return _parts_of(environ)


def _parts_of(environ: dict[str, Any]) -> Iterator[bytes]:
    while part := environ["wsgi.input"].read(1024):
        yield part


def _events(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/event-stream")])
    return _numbers()


def _numbers() -> Iterator[bytes]:
    for number in range(20):
        yield f"data: {number}\n\n".encode()
        time.sleep(0.2)


def _big(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(BIG_BYTES))])
    return _blocks()


def _blocks() -> Iterator[bytes]:
    for _ in range(BIG_BYTES // PART_BYTES):
        yield b"x" * PART_BYTES
    yield b"x" * (BIG_BYTES % PART_BYTES)


def _slow(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    time.sleep(SLOW_SECONDS)
    return bare(environ, start)


def _length(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Answer how much of the body came; one that ends early is 400."""
    wanted = int(environ.get("CONTENT_LENGTH") or 0)
    try:
        came = len(environ["wsgi.input"].read(wanted))
    except Exception:  # noqa: BLE001 - each server has an error of its own
        came = -1
    body = str(came).encode()
    start("200 OK" if came == wanted else "400 Bad Request", [("Content-Length", str(len(body)))])
    return [body]


def _pid(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    body = str(os.getpid()).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


_WAYS: dict[str, App] = {
    "/echo": _echo,
    "/events": _events,
    "/big": _big,
    "/slow": _slow,
    "/length": _length,
    "/pid": _pid,
}
