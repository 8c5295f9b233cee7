"""The two addresses of a service: `/<service>/<id>/…`, and `/project/<id>/<service>/v1/…` beside its siblings."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from flask import Blueprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def make_blueprint(service: str, answer: Callable[[str, str, str], Response]) -> Blueprint:
    """Make the blueprint of both addresses.

    answer  answers for a project's id, the path below the service, and what stands before that path
    """
    routes = Blueprint(service, __name__)
    options: dict[str, Any] = {"methods": METHODS, "provide_automatic_options": False, "strict_slashes": False}

    def at(project_id: str, path: str = "", *, below: str) -> Response:
        return answer(project_id, path, below.replace("<project_id>", project_id))

    for below, name in ((f"/{service}/<project_id>", "plain"), (f"/project/<project_id>/{service}/v1", "beside")):
        view = functools.partial(at, below=below)
        routes.add_url_rule(f"{below}/", f"{name}_root", view, **options)
        routes.add_url_rule(f"{below}/<path:path>", name, view, **options)
    return routes
