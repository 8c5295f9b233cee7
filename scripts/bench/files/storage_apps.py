"""The floor of `storage_bench`: a Flask view that writes what comes to a file and makes it lasting, and sends files."""

from __future__ import annotations

import os
from pathlib import Path

import flask

PART = 262_144


def bare(folder: str) -> flask.Flask:
    """Return the application that gunicorn serves."""
    app = flask.Flask(__name__)

    @app.get("/")
    def here() -> str:
        return ""

    @app.put("/<name>")
    def store(name: str) -> dict[str, int]:
        size = 0
        with (Path(folder) / name).open("wb") as file:
            while part := flask.request.stream.read(PART):
                size += file.write(part)
            file.flush()
            os.fsync(file.fileno())
        return {"size": size}

    @app.get("/<name>")
    def send(name: str) -> flask.Response:
        return flask.send_file(Path(folder) / name)

    return app
