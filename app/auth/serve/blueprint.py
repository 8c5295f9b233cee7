"""Flask routes of Auth for all projects: `/auth/<id>/…` and, behind an API key, `/project/<id>/auth/v1/…`."""

from __future__ import annotations

import json
import logging
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from flask import Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from app.auth import captcha
from app.auth.errors import AuthError
from app.auth.serve import admission
from app.auth.serve.call import AuthAnswer, AuthCall, AuthRoute
from app.served import mount
from app.server import cors
from app.server.clients import client_address
from infra.errors import Unavailable
from infra.patience import act_with_locks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Blueprint

    from app.auth.serve.project import AuthProject, AuthProjects
    from app.auth.serve.services import AuthServices

log = logging.getLogger(__name__)
VERSION_HEADER, VERSION = "X-Supabase-Api-Version", "2024-01-01"
BODY_BYTES_MAX = 1024 * 1024
# What looks whether somebody is there is no use of the project, and wakes none.
WATCHED = frozenset({"/health"})
JSON = "application/json"


class AbsentProject(Protocol):
    """Answers for a project that is not served now."""

    def __call__(self, project_id: str, route: AuthRoute, *, gated: bool, watched: bool) -> AuthProject:
        """Return it once it is. watched: whoever asks looks only whether somebody is there. Raises AuthError."""


class AuthViews:
    """Answers requests by the routes that were declared.

    absent  answers for a project that is not served now: waits until it is, or raises AuthError
    """

    def __init__(
        self,
        routes: Sequence[AuthRoute],
        projects: AuthProjects,
        services: AuthServices,
        absent: AbsentProject,
        trusted_proxies: str = "",
    ) -> None:
        rules = [Rule(route.path, methods=[route.method], endpoint=route) for route in routes]
        self._map = Map(rules, strict_slashes=False, merge_slashes=False)
        self._projects, self._services, self._absent = projects, services, absent
        self._trusted_proxies = trusted_proxies

    def answer(self, project_id: str, path: str, *, gated: bool) -> Response:
        """Answer a request for this path below a project's Auth."""
        if request.method == "OPTIONS":
            return _finished(Response(status=200))
        try:
            return _finished(_made(self._answered(project_id, f"/{path}", gated=gated)))
        except AuthError as error:
            self._services.counts.refused(error.code)
            return _finished(_refusal(error))
        except Unavailable as error:
            log.warning("Auth could not answer", extra={"project_id": project_id, "error": str(error)})
            away = AuthError(503, "unavailable", "The project's database is away; try again")
            away.headers = (("Retry-After", "1"),)
            return _finished(_refusal(away))
        except Exception:  # whatever it is, clients get JSON, and the log has the rest
            log.exception("request failed", extra={"project_id": project_id})
            return _finished(
                _refusal(AuthError(500, "unexpected_failure", "Unexpected failure, please check server logs"))
            )

    def _answered(self, project_id: str, path: str, *, gated: bool) -> AuthAnswer:
        route, variables = self._matched(path)
        watched = route.path in WATCHED
        project = self._projects.find(project_id) or self._absent(project_id, route, gated=gated, watched=watched)
        claims = admission.admit(route, project, request, gated=gated, now=self._services.clock())
        if not watched:
            project.mark.touch()
        call = AuthCall(
            project=project,
            services=self._services,
            method=request.method,
            path=variables,
            query=request.args.to_dict(),
            body=_form() if route.form else _body() if request.method not in ("GET", "HEAD") else {},
            headers=request.headers,  # type: ignore[arg-type]
            claims=claims,
            address=client_address(
                request.environ.get("REMOTE_ADDR", ""),
                request.headers.get("X-Forwarded-For", ""),
                self._trusted_proxies,
            ),
            user_agent=request.headers.get("User-Agent", ""),
        )
        if route.captcha:
            captcha.ensure_person(call)
        answer = act_with_locks(lambda: route.view(call))
        self._services.counts.answered(route.path, call.query, answer.body)
        return answer

    def _matched(self, path: str) -> tuple[AuthRoute, dict[str, Any]]:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            return self._map.bind("").match(path, method)  # type: ignore[return-value]
        except RequestRedirect as error:
            raise AuthError(404, "not_found", "There is nothing at this path") from error
        except MethodNotAllowed as error:
            raise AuthError(405, "method_not_allowed", "This method is not allowed here") from error
        except (NotFound, HTTPException) as error:
            raise AuthError(404, "not_found", "There is nothing at this path") from error


def make_blueprint(views: AuthViews) -> Blueprint:
    """Make the blueprint of both addresses; beside its siblings a project's Auth asks for an API key."""

    def answer(project_id: str, path: str, below: str) -> Response:
        return views.answer(project_id, path, gated=below.startswith("/project/"))

    return mount.make_blueprint("auth", answer)


def _body() -> dict[str, Any]:
    """Read the body, which is a JSON object whatever type it names. Raises AuthError."""
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise _too_large()
    raw = request.stream.read(BODY_BYTES_MAX + 1)
    if len(raw) > BODY_BYTES_MAX:
        raise _too_large()
    if not raw.strip():
        return {}
    try:
        found = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return found


def _form() -> dict[str, Any]:
    """Return the first value of each field of a form that a browser sends."""
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise _too_large()
    raw = request.stream.read(BODY_BYTES_MAX + 1)
    if len(raw) > BODY_BYTES_MAX:
        raise _too_large()
    try:
        fields = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise AuthError(400, "validation_failed", "Could not parse request body as a form") from error
    return dict(reversed(fields))


def _refuse_constant(name: str) -> None:
    # NaN and Infinity are no JSON, whatever Python's reader takes.
    raise ValueError(name)


def _json(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def _too_large() -> AuthError:
    return AuthError(413, "request_entity_too_large", "Request body too large")


def _made(answer: AuthAnswer) -> Response:
    if answer.body is None:
        response = Response(status=answer.status)
    else:
        response = Response(_json(answer.body), answer.status, content_type=JSON)
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response


def _refusal(error: AuthError) -> Response:
    """Answer as clients of either age read it: those that name the version find the word under `code`."""
    if _is_current():
        body = {"code": error.code, "message": error.message, **error.extra}
    else:
        body = {"code": error.status, "error_code": error.code, "msg": error.message, **error.extra}
    response = Response(_json(body), error.status, content_type=JSON)
    response.headers["X-Sb-Error-Code"] = error.code
    for name, value in error.headers:
        response.headers[name] = value
    return response


def _is_current() -> bool:
    """Return whether the client names the version that errors have their words under `code` since, or a later one."""
    try:
        return date.fromisoformat(request.headers.get(VERSION_HEADER, "")) >= date.fromisoformat(VERSION)
    except ValueError:
        return False


def _finished(response: Response) -> Response:
    if _is_current():
        response.headers[VERSION_HEADER] = VERSION
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    # On errors too: without these, a browser's client knows only that the network failed.
    headers = cors.headers(request.headers.get("Origin"), ())
    if request.method == "OPTIONS":
        headers = [*headers, *cors.preflight(request.headers.get("Access-Control-Request-Headers"))]
    for name, value in headers:
        response.headers[name] = value
    return response
