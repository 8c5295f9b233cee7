"""The protocol of Supabase's clients: routes by path, tokens in headers, refusals as JSON."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from flask import Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from app.storage.errors import StorageError
from app.storage.serve import admission
from app.storage.serve.dialect import Admitted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.storage.serve.call import StorageRoute
    from app.storage.serve.project import StorageProject

JSON = "application/json; charset=utf-8"
_LENGTH = re.compile(r"[0-9]{1,18}")


class RestDialect:
    """The protocol, with these routes."""

    def __init__(self, routes: Sequence[StorageRoute]) -> None:
        rules = [Rule(route.path, methods=[route.method], endpoint=route) for route in routes]
        self._map = Map(rules, strict_slashes=True, merge_slashes=False)

    def route(self, path: str) -> tuple[StorageRoute, Mapping[str, str]]:
        """Return the route of a path. Raises StorageError."""
        try:
            return self._map.bind("").match(path, request.method)
        except HTTPException as error:
            message = f"Route {request.method}:{path} not found"
            raise StorageError(404, "Not Found", "NotFound", message, http=404) from error

    def admit(self, route: StorageRoute, project: StorageProject, clock: Callable[[], float]) -> Admitted:
        """Return who asks, by their token. Raises StorageError."""
        caller = admission.admit(route.access, project, request.headers, clock)  # type: ignore[arg-type]
        return Admitted(caller, request.stream, stated_length())

    def refusal(self, error: StorageError) -> Response:
        """Return a refusal as JSON, or as text where clients read that."""
        if error.text:
            response = Response(error.message, error.http, content_type="text/plain; charset=utf-8")
        else:
            response = Response(as_json(error.body), error.http, content_type=JSON)
        for name, value in error.headers:
            response.headers[name] = value
        return response


def stated_length() -> int | None:
    """Return how many bytes the request's body has, by its headers; None where they do not say. Raises StorageError."""
    if request.headers.get("Transfer-Encoding"):
        return None
    text = request.headers.get("Content-Length", "0")
    if not _LENGTH.fullmatch(text):
        raise StorageError(400, "InvalidRequest", "InvalidRequest", "Content-Length is no number")
    return int(text)


def as_json(body: Any) -> str:
    """Return a body as clients get it."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)
