"""Assembles the application. Nothing is opened at import; what is opened lazily is closed with the process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from app.http import dispatch, openapi, problems, requests
from app.http.context import EXTENSION, AppContext
from app.platform.backups import admin_backups, backups, transfers
from app.platform.operations import capacity, databases, doctor, health, jobs, operator, platform_secrets, schedules
from app.platform.owners import accounts, admin_owners, mail, owners, tokens
from app.platform.projects import (
    access_keys,
    extensions,
    keys,
    lifecycle,
    mail_previews,
    owner_migrations,
    project_settings,
    project_sql,
    project_views,
    projects,
)
from app.platform.projects.statuses import status_of
from config.version import VERSION
from infra.signals.limiter import BatchedRateLimiter
from jobs import kinds as _kinds  # noqa: F401 - registers the kinds that routes enqueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.data.serve.process_part import ProcessPart
    from app.http.routing import Operation
    from config.settings import Settings
    from infra.composition import Infra

# Under this name an application holds the data APIs that it serves.
REGISTRY = "launchdb-data"
GREETING = "LaunchDB - API running."
NOUNS = (
    health.routes,
    owners.routes,
    accounts.routes,
    tokens.routes,
    projects.routes,
    lifecycle.routes,
    keys.routes,
    access_keys.routes,
    owner_migrations.routes,
    project_sql.routes,
    project_settings.routes,
    mail_previews.routes,
    project_views.routes,
    backups.routes,
    admin_backups.routes,
    transfers.routes,
    extensions.routes,
    jobs.routes,
    operator.routes,
    schedules.routes,
    databases.routes,
    capacity.routes,
    admin_owners.routes,
    mail.routes,
    platform_secrets.routes,
    doctor.routes,
    openapi.routes,
)


def create_app(
    settings: Settings,
    infra: Infra,
    services: Sequence[str] = ("platform", "data", "auth", "storage"),
    part: ProcessPart | None = None,
) -> Flask:
    """Return the application with the named services: 'platform', 'data', 'auth', 'storage', or several of them.

    part  what of the connections to projects this process may open for their data; None: all
    """
    app = Flask("launchdb", static_folder=None)
    app.extensions[EXTENSION] = AppContext(settings, infra)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    problems.register_error_handlers(app)
    requests.register_request_hooks(app, trusted_proxies=settings.trusted_proxies)
    app.add_url_rule("/", "root", _greet, methods=["GET"], provide_automatic_options=False)
    if "platform" in services:
        app.extensions["launchdb-openapi"] = openapi_document
        for routes in NOUNS:
            app.register_blueprint(dispatch.blueprint(routes.noun, routes.operations))
    if settings.runtime != "embedded" or {"data", "auth", "storage"} & set(services):
        _serve_projects(app, settings, infra, services, part)
    return app


def _serve_projects(
    app: Flask, settings: Settings, infra: Infra, services: Sequence[str], part: ProcessPart | None
) -> None:
    """Serve the projects' data and Auth, or say of each to the proxy in front whether it can be asked."""
    from app.edge import edge, wake_on_request  # noqa: PLC0415 - who serves no project need not load it

    seen = functools.partial(status_of, app)
    held = wake_on_request.WakeOnRequest(settings, infra)
    if "auth" in services:
        from app.auth import service  # noqa: PLC0415 - its libraries take memory

        world = app.extensions[EXTENSION]
        app.register_blueprint(
            service.auth_blueprint(
                settings, infra.database, passwords=world.passwords, limiter=world.limiter,
                registry=world.metrics.registry, status_of=seen, wait=held.wait_until_served,
            )
        )  # fmt: skip
    counts = BatchedRateLimiter(app.extensions[EXTENSION].limiter)
    if "storage" in services:
        from app.storage.service import StorageService  # noqa: PLC0415 - who serves no files need not load it

        storage = StorageService(
            settings, infra.storage, status_of=seen, wait=held.wait_until_served, counted=counts.hit,
            registry=app.extensions[EXTENSION].metrics.registry,
        )  # fmt: skip
        app.register_blueprint(storage.blueprint())
        storage.begin_sweeping()
    if "data" in services:
        from app.data.serve.projects import ProjectApis  # noqa: PLC0415 - the same
        from app.http.data_frame import DataFrame  # noqa: PLC0415

        apis = ProjectApis.of(settings.instances_folder, part, seen, counts.hit, held.wait_until_served)
        app.extensions[REGISTRY] = apis.registry
        metrics = app.extensions[EXTENSION].metrics
        app.wsgi_app = DataFrame(app.wsgi_app, apis, metrics, settings.trusted_proxies)  # type: ignore[assignment,method-assign]
    if "platform" in services:
        sockets = settings.run_folder / "projects"
        app.register_blueprint(edge.make_blueprint(sockets, seen, held, greets="data" not in services))


def operations() -> list[Operation]:
    """Return every declared route of the platform API."""
    return [operation for routes in NOUNS for operation in routes.operations]


@functools.cache
def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document; made when it is first asked for, since it takes as long as the rest of a start."""
    return openapi.describe(operations(), version=VERSION)


def _greet() -> Response:
    return Response(GREETING, content_type="text/plain; charset=utf-8")
