"""Auth for all projects of an installation: put together for whichever process serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.auth.mailing.outbox import OutboxLetters
from app.auth.oauth.documents import ProviderDocuments
from app.auth.routes import ROUTES
from app.auth.serve.absent import AbsentAuth
from app.auth.serve.blueprint import AuthViews, make_blueprint
from app.auth.serve.counts import AuthCounts
from app.auth.serve.project import AuthProjects
from app.auth.serve.services import AuthServices
from app.served.absent import AbsentProjects
from catalog import owners
from infra.files import ensure_folder
from infra.instances.activity import auth_marks
from infra.outbound.addresses import parse_networks
from infra.outbound.http import Outbound
from infra.secrets import leaked_passwords

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Blueprint
    from prometheus_client import CollectorRegistry

    from app.data.serve.unserved import UnservedRequest
    from config.settings import Settings
    from infra.postgres.database import Database
    from infra.secrets.passwords import Passwords
    from infra.signals.limiter import RateLimiter


def auth_blueprint(  # noqa: PLR0913 - what each process has of its own
    settings: Settings,
    database: Database,
    *,
    passwords: Passwords,
    limiter: RateLimiter,
    registry: CollectorRegistry,
    status_of: Callable[[str], str | None],
    wait: Callable[[UnservedRequest, Callable[[], bool]], bool],
) -> Blueprint:
    """Make the routes of every project's Auth.

    database   the platform's
    registry   where is counted what it does
    status_of  a project's state as clients may know it; None when there is no such project
    wait       waits for a project that does not serve now; see `AbsentProjects`

    What it opens is kept as the blueprint's `projects` attribute, so that others can close it.
    """
    marks = ensure_folder(auth_marks(settings), mode=0o700)
    projects = AuthProjects(settings.auth_folder, marks=marks)
    counts = AuthCounts(registry)
    outbound = Outbound(parse_networks(settings.auth_private_networks))
    letters = OutboxLetters(database, counts)
    services = AuthServices(
        database,
        passwords,
        limiter,
        letters,
        oauth=ProviderDocuments(outbound),
        leaked=leaked_passwords.opened(settings.leaked_passwords, owners.common_passwords()),
        counts=counts,
    )
    absent = AbsentAuth(AbsentProjects(projects.find, status_of, wait))
    routes = make_blueprint(AuthViews(ROUTES, projects, services, absent, settings.trusted_proxies))
    routes.projects = projects  # type: ignore[attr-defined]
    return routes
