"""Flask routes of the data API for all projects: `/db/<id>/…` and, behind an API key, `/project/<id>/rest/v1/…`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, request

from app.data.errors import PgrstError
from app.data.run.registry import Registry
from app.data.run.respond import DataResponse
from app.data.serve import api_key, wsgi
from app.data.serve.exchange import Mount, exchange
from app.data.serve.unserved import UnservedRequest, key_of
from catalog.project_states import AWAY, REACHABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response

    from app.data.run.instance import Instance
    from config.settings import Settings
    from infra.signals.limiter import RateCount

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
GREETING = b'{"message":"root path","hint":"Try GET /table_name"}'
JSON = [("Content-Type", "application/json; charset=utf-8")]


def make_blueprint(
    settings: Settings,
    status_of: Callable[[str], str | None],
    registry: Registry | None = None,
    counted: Callable[[str, int], RateCount | None] = lambda _project_id, _per_minute: None,
    served: Callable[[UnservedRequest, Callable[[], bool]], bool] = lambda _asked, answers: answers(),
) -> Blueprint:
    """Make the blueprint. `status_of` tells a project's state, or None when there is no such project.

    `counted` counts a request of a project that may have so many a minute, or returns None where nobody counts.

    `served` waits until a project that does not serve now comes to (second: whether it does), and says whether.

    The registry is kept as the blueprint's `registry` attribute, so that others can release a project.
    """
    routes = Blueprint("data", __name__)
    views = _Views(registry or Registry(settings.instances_folder), status_of, counted, served)
    routes.registry = views.registry  # type: ignore[attr-defined]
    options = {"methods": METHODS, "provide_automatic_options": False, "strict_slashes": False}
    for below, view, name in (
        ("/db/<project_id>", views.plain, "plain"),
        ("/project/<project_id>/rest/v1", views.gated, "gated"),
    ):
        routes.add_url_rule(f"{below}/", f"{name}_root", view, **options)  # type: ignore[arg-type]
        routes.add_url_rule(f"{below}/<path:path>", name, view, **options)  # type: ignore[arg-type]
    options["methods"] = ["GET", "HEAD", "OPTIONS"]
    routes.add_url_rule("/project/<project_id>/", "greeting", views.greeting, **options)  # type: ignore[arg-type]
    return routes


class _Views:
    """What the routes do."""

    def __init__(
        self,
        registry: Registry,
        status_of: Callable[[str], str | None],
        counted: Callable[[str, int], RateCount | None],
        served: Callable[[UnservedRequest, Callable[[], bool]], bool],
    ) -> None:
        self.registry, self._status_of, self._counted, self._served_again = registry, status_of, counted, served

    def plain(self, project_id: str, path: str = "") -> Response:
        """Serve a project as PostgREST serves a database."""
        del path
        return self._served(project_id, Mount(f"/db/{project_id}", shared=True))

    def gated(self, project_id: str, path: str = "") -> Response:
        """Serve a project to who has one of its API keys."""
        del path
        return self._served(project_id, Mount(f"/project/{project_id}/rest/v1", gated=True, shared=True))

    def greeting(self, project_id: str) -> Response:
        """Answer at a project's own address, without a key."""
        if wsgi.is_preflight(request.environ):
            return wsgi.as_response(wsgi.preflight(request.environ), request.environ)
        if self.registry.find(project_id) is None and self._status_of(project_id) != "sleeping":
            return wsgi.http_error_response(not_serving_error(project_id, self._status_of), request)
        return wsgi.response(DataResponse(200, JSON, b"" if request.method == "HEAD" else GREETING), request)

    def _served(self, project_id: str, mount: Mount) -> Response:
        answer = exchange(
            request.environ,
            mount,
            self.registry.find(project_id),
            wait=lambda: self._awaited(project_id, mount),
            count=lambda instance: self._count(project_id, instance.config.launchdb_rate_per_minute),
        )
        return wsgi.as_response(answer, request.environ)

    def _awaited(self, project_id: str, mount: Mount) -> Instance:
        """Return the instance of a project that comes to serve soon. Raises PgrstError."""
        # A status of up to a second ago spares the catalogue those who ask for what is not there.
        if self._status_of(project_id) in REACHABLE:
            asked = UnservedRequest(
                project_id=project_id,
                method=request.method,
                path=request.path.removeprefix(mount.below),
                gated=mount.gated,
                key=key_of(request.headers.get("apikey"), request.query_string.decode("latin-1")),
                authorization=request.headers.get("Authorization"),
                agent=request.headers.get("User-Agent", ""),
            )
            self._served_again(asked, lambda: self.registry.find(project_id) is not None)
            instance = self.registry.find(project_id)
            if instance is not None:
                return instance
        raise not_serving_error(project_id, self._status_of)

    def _count(self, project_id: str, per_minute: int) -> None:
        counted = self._counted(project_id, per_minute) if per_minute else None
        if counted is None or counted.passed:
            return
        raise api_key.rate_limit_error(counted.limit, counted.reset_seconds)


def not_serving_error(project_id: str, status_of: Callable[[str], str | None]) -> PgrstError:
    """Return what a project that serves nothing now says, by its state in the catalogue."""
    state = status_of(project_id)
    if state == "active":
        return PgrstError("PGRST000", "The project does not answer now", status=503, headers=(("Retry-After", "1"),))
    if state in AWAY:
        return PgrstError("PGRST000", f"The project is {state}", status=503, headers=(("Retry-After", "5"),))
    return PgrstError("404", "There is no such project", status=404)
