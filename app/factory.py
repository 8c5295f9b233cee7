"""Assembles the application. Nothing is opened at import; what is opened lazily is closed with the process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from app import (
    accounts,
    backups,
    backups_of_all,
    capacity,
    databases,
    dispatch,
    doctor,
    extensions,
    health,
    jobs,
    lifecycle,
    mail,
    openapi,
    operator,
    owner_migrations,
    owners,
    people,
    platform_secrets,
    problems,
    project_settings,
    project_sql,
    project_views,
    projects,
    requests,
    schedules,
    tokens,
    transfers,
)
from app.statuses import status_of
from app.world import EXTENSION, World
from config.version import VERSION
from infra.signals.limiter import Shares
from jobs import kinds as _kinds  # noqa: F401 - registers the kinds that routes enqueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.routing import Operation
    from config.settings import Settings
    from infra.composition import Infra

GREETING = "LaunchDB - API running."
NOUNS = (
    health.routes,
    owners.routes,
    accounts.routes,
    tokens.routes,
    projects.routes,
    lifecycle.routes,
    owner_migrations.routes,
    project_sql.routes,
    project_settings.routes,
    project_views.routes,
    backups.routes,
    backups_of_all.routes,
    transfers.routes,
    extensions.routes,
    jobs.routes,
    operator.routes,
    schedules.routes,
    databases.routes,
    capacity.routes,
    people.routes,
    mail.routes,
    platform_secrets.routes,
    doctor.routes,
    openapi.routes,
)


def create_app(settings: Settings, infra: Infra, services: Sequence[str] = ("platform", "data")) -> Flask:
    """Return the application with the named services: 'platform', 'data' or both."""
    app = Flask("launchdb", static_folder=None)
    app.extensions[EXTENSION] = World.of(settings, infra)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    problems.register(app)
    requests.register(app, trusted_proxies=settings.trusted_proxies)
    app.add_url_rule("/", "root", _greet, methods=["GET"], provide_automatic_options=False)
    if "platform" in services:
        app.extensions["launchdb-openapi"] = described
        for routes in NOUNS:
            app.register_blueprint(dispatch.blueprint(routes.noun, routes.operations))
    if settings.runtime != "embedded" or "data" in services:
        _serve_data(app, settings, infra, services)
    return app


def _serve_data(app: Flask, settings: Settings, infra: Infra, services: Sequence[str]) -> None:
    """Serve the projects' data, or say of each to the proxy in front whether it can be asked."""
    from app import edge, waking  # noqa: PLC0415 - who serves no data need not load it
    from app.data import blueprint as data  # noqa: PLC0415

    seen = functools.partial(status_of, app)
    held = waking.Waking(settings, infra)
    if "data" in services:
        counts = Shares(app.extensions[EXTENSION].limiter)
        app.register_blueprint(data.make(settings, status_of=seen, counted=counts.hit, served=held.served))
    if "platform" in services:
        sockets = settings.run_folder / "projects"
        app.register_blueprint(edge.make(sockets, seen, held, greets="data" not in services))


def operations() -> list[Operation]:
    """Return every declared route of the platform API."""
    return [operation for routes in NOUNS for operation in routes.operations]


@functools.cache
def described() -> dict[str, Any]:
    """Return the OpenAPI document; made when it is first asked for, since it takes as long as the rest of a start."""
    return openapi.describe(operations(), version=VERSION)


def _greet() -> Response:
    return Response(GREETING, content_type="text/plain; charset=utf-8")
