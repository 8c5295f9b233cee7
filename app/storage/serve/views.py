"""Answers the requests of all projects by the routes that were declared, errors included."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING

from flask import Response, request
from werkzeug.wsgi import wrap_file

from app.server import cors
from app.storage.errors import StorageError
from app.storage.serve.call import StorageAnswer, StorageCall, StorageRoute
from app.storage.serve.counts import CountedBody
from app.storage.serve.project import Asked
from app.storage.serve.rest import JSON, RestDialect, as_json
from infra.errors import InfraError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.served.projects import ServedProjects
    from app.storage.serve.caller import Caller
    from app.storage.serve.dialect import Dialect
    from app.storage.serve.project import StorageProject
    from app.storage.serve.services import StorageServices
    from infra.instances.storage_files import StorageSpec

log = logging.getLogger(__name__)
TUS_HEADERS = (
    "Location, Upload-Offset, Upload-Length, Upload-Expires, Upload-Metadata, Tus-Version, Tus-Resumable, "
    "Tus-Max-Size, Tus-Extension"
)


class StorageViews:
    """Answers requests.

    absent    answers for a project that is not served now: waits until it is, or raises StorageError
    counted   counts a request of a project and who sent it, and raises StorageError when there were too many
    dialects  makes each further protocol, by the first part of the paths below which it is spoken; made when one is
              first asked for
    """

    def __init__(
        self,
        routes: Sequence[StorageRoute],
        projects: ServedProjects[StorageSpec, StorageProject],
        services: StorageServices,
        absent: Callable[[str, str], StorageProject],
        counted: Callable[[StorageProject, Caller], None] = lambda _project, _caller: None,
        *,
        dialects: Mapping[str, Callable[[], Dialect]] = MappingProxyType({}),
    ) -> None:
        self._rest = RestDialect(routes)
        self._projects, self._services, self._absent, self._counted = projects, services, absent, counted
        self._makers = dialects
        self._dialects: dict[str, Dialect] = {}

    def answer(self, project_id: str, path: str, below: str) -> Response:
        """Answer a request for this path below a project's Storage."""
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response = Response(status=200)
        else:
            response = self._response(project_id, path, below)
        project = self._projects.find(project_id)
        return _finished(response, () if project is None else tuple(project.settings.cors_origins))

    def _response(self, project_id: str, path: str, below: str) -> Response:
        dialect = self._dialect_of(path)
        try:
            return _made(self._answered(dialect, project_id, below))
        except StorageError as error:
            self._services.counts.refused(error.code)
            return dialect.refusal(error)
        except Unavailable as error:
            log.warning("Storage could not answer", extra={"project_id": project_id, "error": str(error)})
            away = StorageError(
                503, "unavailable", "Unavailable", "Storage is away; try again", headers=(("Retry-After", "1"),)
            )
            return dialect.refusal(away)
        except TimeoutError:  # of a body that did not come: whoever sends it is not there to be told more
            return dialect.refusal(StorageError(408, "RequestTimeout", "RequestTimeout", "The body did not arrive"))
        except (InfraError, Exception):  # whatever it is, clients get what they can read, and the log has the rest
            log.exception("request failed", extra={"project_id": project_id})
            return dialect.refusal(StorageError(500, "Internal", "InternalError", "Internal Server Error"))

    def _dialect_of(self, path: str) -> Dialect:
        name = path.partition("/")[0]
        if name not in self._makers:
            return self._rest
        if name not in self._dialects:
            self._dialects[name] = self._makers[name]()
        return self._dialects[name]

    def _answered(self, dialect: Dialect, project_id: str, below: str) -> StorageAnswer:
        # As it was asked for: to some a slash at the end makes a difference.
        path = request.path.removeprefix(below) or "/"
        route, variables = dialect.route(path)
        project = self._projects.find(project_id) or self._absent(project_id, path)
        admitted = dialect.admit(route, project, self._services.clock)
        project.mark.touch()
        self._counted(project, admitted.caller)
        call = StorageCall(
            project=project,
            services=self._services,
            caller=admitted.caller,
            asked=Asked.of(route.operation, request.method, f"{below}{path}", dict(request.headers)),
            method=request.method,
            path=variables,
            query=request.args.to_dict(),
            repeated=request.args.to_dict(flat=False),
            headers=request.headers,  # type: ignore[arg-type]
            body=CountedBody(admitted.body, self._services.counts.came),  # type: ignore[arg-type]
            length=admitted.length,
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


def _made(answer: StorageAnswer) -> Response:
    if answer.file is not None:
        response = Response(wrap_file(request.environ, answer.file, 65_536), answer.status, direct_passthrough=True)
    elif answer.body is not None:
        response = Response(as_json(answer.body), answer.status, content_type=JSON)
    else:
        response = Response(answer.content, answer.status)
        response.headers.pop("Content-Type", None)
    for name, value in answer.headers:
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
