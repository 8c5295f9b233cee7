"""Answers the requests of all projects by the routes that were declared, errors included."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

from flask import Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wsgi import wrap_file

from app.server import cors
from app.storage.errors import StorageError
from app.storage.serve import admission
from app.storage.serve.call import StorageAnswer, StorageCall, StorageRoute
from app.storage.serve.counts import CountedBody
from app.storage.serve.project import Asked
from infra.errors import InfraError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.served.projects import ServedProjects
    from app.storage.serve.caller import Caller
    from app.storage.serve.project import StorageProject
    from app.storage.serve.services import StorageServices
    from infra.instances.storage_files import StorageSpec

log = logging.getLogger(__name__)
JSON = "application/json; charset=utf-8"
TUS_HEADERS = (
    "Location, Upload-Offset, Upload-Length, Upload-Expires, Upload-Metadata, Tus-Version, Tus-Resumable, "
    "Tus-Max-Size, Tus-Extension"
)
_LENGTH = re.compile(r"[0-9]{1,18}")


class StorageViews:
    """Answers requests.

    absent   answers for a project that is not served now: waits until it is, or raises StorageError
    counted  counts a request of a project and who sent it, and raises StorageError when there were too many
    """

    def __init__(
        self,
        routes: Sequence[StorageRoute],
        projects: ServedProjects[StorageSpec, StorageProject],
        services: StorageServices,
        absent: Callable[[str, str], StorageProject],
        counted: Callable[[StorageProject, Caller], None] = lambda _project, _caller: None,
    ) -> None:
        rules = [Rule(route.path, methods=[route.method], endpoint=route) for route in routes]
        self._map = Map(rules, strict_slashes=True, merge_slashes=False)
        self._projects, self._services, self._absent, self._counted = projects, services, absent, counted

    def answer(self, project_id: str, path: str, below: str) -> Response:
        """Answer a request for this path below a project's Storage."""
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response = Response(status=200)
        else:
            response = self._response(project_id, f"/{path}", below)
        project = self._projects.find(project_id)
        return _finished(response, () if project is None else tuple(project.settings.cors_origins))

    def _response(self, project_id: str, path: str, below: str) -> Response:
        try:
            return _made(self._answered(project_id, path, below))
        except StorageError as error:
            self._services.counts.refused(error.code)
            return _refusal(error)
        except Unavailable as error:
            log.warning("Storage could not answer", extra={"project_id": project_id, "error": str(error)})
            away = StorageError(
                503, "unavailable", "Unavailable", "Storage is away; try again", headers=(("Retry-After", "1"),)
            )
            return _refusal(away)
        except TimeoutError:  # of a body that did not come: whoever sends it is not there to be told more
            return _refusal(StorageError(408, "RequestTimeout", "RequestTimeout", "The body did not arrive"))
        except (InfraError, Exception):  # whatever it is, clients get JSON, and the log has the rest
            log.exception("request failed", extra={"project_id": project_id})
            return _refusal(StorageError(500, "Internal", "InternalError", "Internal Server Error"))

    def _answered(self, project_id: str, path: str, below: str) -> StorageAnswer:
        route, variables = self._matched(path)
        project = self._projects.find(project_id) or self._absent(project_id, path)
        caller = admission.admit(route.access, project, request.headers, self._services.clock)  # type: ignore[arg-type]
        project.mark.touch()
        self._counted(project, caller)
        call = StorageCall(
            project=project,
            services=self._services,
            caller=caller,
            asked=Asked.of(route.operation, request.method, f"{below}{path}", dict(request.headers)),
            method=request.method,
            path=variables,
            query=request.args.to_dict(),
            repeated=request.args.to_dict(flat=False),
            headers=request.headers,  # type: ignore[arg-type]
            body=CountedBody(request.stream, self._services.counts.came),  # type: ignore[arg-type]
            length=_length(),
        )
        answer, status = None, 500
        try:
            answer = route.view(call)
        except StorageError as error:
            status = error.http
            raise
        finally:
            self._services.counts.answered(route.operation, status if answer is None else answer.status)
        if answer.file is not None:
            self._services.counts.went(int(dict(answer.headers).get("Content-Length", 0)))
        return answer

    def _matched(self, path: str) -> tuple[StorageRoute, dict[str, Any]]:
        try:
            return self._map.bind("").match(path, request.method)  # type: ignore[return-value]
        except HTTPException as error:
            message = f"Route {request.method}:{path} not found"
            raise StorageError(404, "Not Found", "NotFound", message, http=404) from error


def _length() -> int | None:
    if request.headers.get("Transfer-Encoding"):
        return None
    text = request.headers.get("Content-Length", "0")
    if not _LENGTH.fullmatch(text):
        raise StorageError(400, "InvalidRequest", "InvalidRequest", "Content-Length is no number")
    return int(text)


def _json(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def _made(answer: StorageAnswer) -> Response:
    if answer.file is not None:
        response = Response(wrap_file(request.environ, answer.file, 65_536), answer.status, direct_passthrough=True)
    elif answer.body is not None:
        response = Response(_json(answer.body), answer.status, content_type=JSON)
    else:
        response = Response(status=answer.status)
        response.headers.pop("Content-Type", None)
    for name, value in answer.headers:
        response.headers[name] = value
    return response


def _refusal(error: StorageError) -> Response:
    if error.text:
        response = Response(error.message, error.http, content_type="text/plain; charset=utf-8")
    else:
        response = Response(_json(error.body), error.http, content_type=JSON)
    for name, value in error.headers:
        response.headers[name] = value
    return response


def _finished(response: Response, allowed_origins: tuple[str, ...]) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    # On errors too: without these, a browser's client knows only that the network failed.
    headers = dict(cors.headers(request.headers.get("Origin"), allowed_origins))
    if "Access-Control-Expose-Headers" in headers:
        headers["Access-Control-Expose-Headers"] += f", {TUS_HEADERS}"
    if request.method == "OPTIONS":
        headers |= dict(cors.preflight(request.headers.get("Access-Control-Request-Headers")))
    for name, value in headers.items():
        if name == "Vary":
            response.vary.add(value)
        else:
            response.headers[name] = value
    return response
