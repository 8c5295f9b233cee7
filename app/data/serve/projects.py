"""All projects' data APIs in one process: at `/db/<id>/…` and, behind an API key, at `/project/<id>/rest/v1/…`."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from app.data.errors import PgrstError
from app.data.run.registry import Registry
from app.data.run.respond import DataResponse
from app.data.serve import api_key, wsgi
from app.data.serve.exchange import Mount, exchange
from app.data.serve.unserved import UnservedRequest, key_of
from app.server import refusals
from catalog.project_states import AWAY, REACHABLE
from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.data.run.instance import Instance
    from app.data.serve.process_part import ProcessPart
    from infra.signals.limiter import RateCount

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
GREETING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
GREETING = b'{"message":"root path","hint":"Try GET /table_name"}'
JSON = [("Content-Type", "application/json; charset=utf-8")]
_ADDRESS = re.compile(r"/(?:db/([^/]+)|project/([^/]+)(/rest/v1)?)(/(?!/).*)?", re.DOTALL)
log = logging.getLogger(__name__)


class Route(NamedTuple):
    """Where a request goes.

    rule   the addresses that are served alike, as metrics name them
    mount  where the project's data API is found; None: the project's own address, which only says that it is there
    """

    rule: str
    project_id: str
    mount: Mount | None


def route_of(path: str) -> Route | None:
    """Return where a request for a decoded path goes; None when it is for no project's data API."""
    found = _ADDRESS.fullmatch(path) if path.startswith(("/db/", "/project/")) else None
    if found is None:
        return None
    plain, project_id, gate, below = found.groups()
    more = "<path:path>" if below and below != "/" else ""
    if plain:
        return Route(f"/db/<project_id>/{more}", plain, Mount(f"/db/{plain}", shared=True))
    if gate:
        mount = Mount(f"/project/{project_id}/rest/v1", gated=True, shared=True)
        return Route(f"/project/<project_id>/rest/v1/{more}", project_id, mount)
    return None if more else Route("/project/<project_id>/", project_id, None)


class ProjectApis:
    """Answers the requests that are for a project's data API.

    status_of  tells a project's state, or None when there is no such project
    counted    counts a request of a project that may have so many a minute, or returns None where nobody counts
    served     waits until a project that does not serve now comes to (second: whether it does), and says whether
    """

    def __init__(
        self,
        registry: Registry,
        status_of: Callable[[str], str | None],
        counted: Callable[[str, int], RateCount | None] = lambda _project_id, _per_minute: None,
        served: Callable[[UnservedRequest, Callable[[], bool]], bool] = lambda _asked, answers: answers(),
    ) -> None:
        self.registry, self._status_of, self._counted, self._served_again = registry, status_of, counted, served

    @classmethod
    def of(
        cls,
        folder: Path,
        part: ProcessPart | None,
        status_of: Callable[[str], str | None],
        counted: Callable[[str, int], RateCount | None],
        served: Callable[[UnservedRequest, Callable[[], bool]], bool],
    ) -> ProjectApis:
        """Return those whose configurations lie in a folder. part: what of connections is this process's; None: all."""
        return cls(Registry(folder, part=part), status_of, counted, served)

    def answer(self, environ: dict[str, Any], route: Route) -> wsgi.WireAnswer:
        """Return the answer to a request; whatever is wrong is one in the data API's words."""
        try:
            return self._answered(environ, route)
        except PgrstError as fault:
            return wsgi.error_answer(fault, environ)
        except Unavailable as error:
            log.warning("unavailable", extra={"error": str(error)})
            return wsgi.error_answer(refusals.AWAY.fault, environ)
        except Exception:
            log.exception("request failed")
            message = "Something went wrong; the log knows more under this request id"
            return wsgi.error_answer(PgrstError("XX000", message, status=500), environ)

    def _answered(self, environ: dict[str, Any], route: Route) -> wsgi.WireAnswer:
        allowed = METHODS if route.mount else GREETING_METHODS
        if environ["REQUEST_METHOD"] not in allowed:
            said = "This path does not take this method"
            raise PgrstError("PGRST117", said, status=405, headers=(("Allow", ", ".join(sorted(allowed))),))
        if route.mount is None:
            return self._greeting(environ, route.project_id)
        project_id, mount = route.project_id, route.mount
        return exchange(
            environ,
            mount,
            self.registry.find(project_id),
            wait=lambda: self._awaited(environ, project_id, mount),
            count=lambda instance: self._count(project_id, instance.config.launchdb_rate_per_minute),
        )

    def _greeting(self, environ: dict[str, Any], project_id: str) -> wsgi.WireAnswer:
        """Answer at a project's own address, without a key."""
        if wsgi.is_preflight(environ):
            return wsgi.preflight(environ)
        if self.registry.find(project_id) is None and self._status_of(project_id) != "sleeping":
            raise not_serving_error(project_id, self._status_of)
        return wsgi.WireAnswer(DataResponse(200, JSON, GREETING), environ, ())

    def _awaited(self, environ: dict[str, Any], project_id: str, mount: Mount) -> Instance:
        """Return the instance of a project that comes to serve soon. Raises PgrstError."""
        # A status of up to a second ago spares the catalogue those who ask for what is not there.
        if self._status_of(project_id) in REACHABLE:
            asked = UnservedRequest(
                project_id=project_id,
                method=environ["REQUEST_METHOD"],
                path=wsgi.decoded_path(environ).removeprefix(mount.below),
                gated=mount.gated,
                key=key_of(environ.get("HTTP_APIKEY"), environ.get("QUERY_STRING", "")),
                authorization=environ.get("HTTP_AUTHORIZATION"),
                agent=environ.get("HTTP_USER_AGENT", ""),
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
