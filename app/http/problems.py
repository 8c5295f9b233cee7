"""The one place where errors become answers: RFC 9457 problem details, from one table."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Response, g, json, request
from werkzeug.exceptions import HTTPException

from app.data.errors import PgrstError
from app.data.serve import wsgi
from app.server import refusals
from app.server.problem import MEDIA_TYPE, Problem, document, invalid
from catalog.backups import BackupNotFound
from catalog.capacity import PoolsDoNotFit
from catalog.failed_logins import TooManyFailures
from catalog.idempotency import IdempotencyConflict
from catalog.one_time import TokenSpent
from catalog.outbox import MailQuotaExceeded
from catalog.owner_migrations import MigrationConflict
from catalog.owners import EmailTaken, LastOperator, OwnerGone, OwnerNotFound, OwnsProjects, RegistrationClosed
from catalog.personal_tokens import TokenNotFound
from catalog.projects import NameTaken, ProjectBusy, ProjectExists, ProjectNotFound, QuotaExceeded
from catalog.sessions import SessionNotFound
from catalog.settings import SettingsRefused
from infra.disk import DiskFull
from infra.errors import Unavailable
from jobs.engine.commands import JobConflict, JobNotFound
from jobs.engine.schedules import ScheduleNotFound, ScheduleRefused, ScheduleUnserved
from jobs.projects.access_keys import NoSuchAccessKey, TooManyAccessKeys
from jobs.projects.api_keys import NoSuchApiKey, TooManyApiKeys
from jobs.projects.jwt_import import ImportRefused
from jobs.projects.signing_keys import NoSuchSigningKey, SigningKeyInUse
from jobs.requests.doctor import NoSuchCheck
from jobs.requests.lifecycle import NothingKept
from jobs.requests.mailing import MailOff

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["MEDIA_TYPE", "PROBLEMS", "Problem", "document", "invalid", "problem_response", "register_error_handlers"]

log = logging.getLogger(__name__)
RETRY_AFTER_SECONDS = "1"
# Somebody has to free some space first.
DISK_RETRY_AFTER_SECONDS = "60"
DISK_FULL = "there is too little room on the disk to begin this; an operator has been told, try again later"
# What the data API calls it, where that is not the status.
CODES = {"internal": "XX000", "method-not-allowed": "PGRST117"}

# What the domain refuses, with the status and the name of the type. The message of the error is the detail.
PROBLEMS: dict[type[Exception], tuple[int, str]] = {
    EmailTaken: (409, "email-taken"),
    RegistrationClosed: (403, "registration-closed"),
    TokenSpent: (403, "link-not-valid"),
    OwnerGone: (401, "unauthorized"),
    OwnerNotFound: (404, "owner-not-found"),
    OwnsProjects: (409, "owns-projects"),
    LastOperator: (409, "last-operator"),
    SessionNotFound: (404, "session-not-found"),
    TokenNotFound: (404, "token-not-found"),
    ProjectNotFound: (404, "project-not-found"),
    BackupNotFound: (404, "backup-not-found"),
    NothingKept: (409, "nothing-kept"),
    NameTaken: (409, "name-taken"),
    QuotaExceeded: (403, "quota-exceeded"),
    ProjectBusy: (409, "project-busy"),
    PoolsDoNotFit: (409, "pools-do-not-fit"),
    ProjectExists: (409, "project-exists"),
    SettingsRefused: (422, "invalid-input"),
    MigrationConflict: (409, "migration-conflict"),
    NoSuchApiKey: (404, "key-not-found"),
    NoSuchAccessKey: (404, "key-not-found"),
    TooManyApiKeys: (409, "too-many-keys"),
    TooManyAccessKeys: (409, "too-many-keys"),
    NoSuchSigningKey: (404, "key-not-found"),
    SigningKeyInUse: (409, "key-in-use"),
    ImportRefused: (422, "invalid-input"),
    JobNotFound: (404, "job-not-found"),
    JobConflict: (409, "job-conflict"),
    IdempotencyConflict: (422, "idempotency-conflict"),
    MailOff: (409, "mail-off"),
    MailQuotaExceeded: (429, "mail-quota"),
    TooManyFailures: (429, "too-many-failures"),
    NoSuchCheck: (404, "check-not-found"),
    ScheduleNotFound: (404, "schedule-not-found"),
    ScheduleUnserved: (409, "schedule-unserved"),
    ScheduleRefused: (422, "invalid-input"),
    DiskFull: (507, "disk-full"),
    Unavailable: (503, "unavailable"),
}


def register_error_handlers(app: Flask) -> None:
    """Answer every error of the platform's part of the application from the table."""
    for known in PROBLEMS:
        app.register_error_handler(known, _of_domain)
    app.register_error_handler(Problem, problem_response)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_accident)


def problem_response(problem: Problem) -> Response:
    """Answer the request at hand with this problem; whoever asked for a project's data in the data API's words."""
    g.problem = problem.kind
    if refusals.is_for_projects(request.path):
        return _for_projects(problem)
    body = document(problem, instance=request.path, request_id=g.get("request_id", ""))
    made = Response(json.dumps(body), problem.status, content_type=MEDIA_TYPE)
    made.headers.update(problem.headers)
    made.headers["Cache-Control"] = "no-store"
    return made


def _for_projects(problem: Problem) -> Response:
    if wsgi.is_preflight(request.environ):
        made = wsgi.as_response(wsgi.preflight(request.environ), request.environ)
    else:
        code, headers = CODES.get(problem.kind, str(problem.status)), tuple(problem.headers.items())
        message = problem.detail[0].upper() + problem.detail[1:]
        made = wsgi.http_error_response(PgrstError(code, message, status=problem.status, headers=headers), request)
    return Response(made.data, made.status, headers=made.headers.to_wsgi_list())


def _of_domain(error: Exception) -> Response:
    status, kind = next(PROBLEMS[known] for known in type(error).__mro__ if known in PROBLEMS)
    headers = {}
    if isinstance(error, (SettingsRefused, ScheduleRefused, ImportRefused)):
        return problem_response(invalid(error.pointer, str(error), status=status))
    if isinstance(error, (TooManyFailures, MailQuotaExceeded)):
        headers["Retry-After"] = str(error.wait_seconds)
    if isinstance(error, DiskFull):
        log.warning("a disk is full", extra={"error": str(error)})
        headers["Retry-After"] = DISK_RETRY_AFTER_SECONDS
        return problem_response(Problem(status, kind, DISK_FULL, headers=headers))
    if isinstance(error, Unavailable):
        log.warning("unavailable", extra={"error": str(error)})
        headers["Retry-After"] = RETRY_AFTER_SECONDS
        return problem_response(Problem(status, kind, refusals.AWAY.detail, headers=headers))
    return problem_response(Problem(status, kind, str(error), headers=headers))


def _of_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return Response(error.get_response().data, status, headers=error.get_response().headers.to_wsgi_list())
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    phrase = HTTPStatus(status).phrase
    details = {404: "there is nothing at this path", 405: "this path does not take this method"}
    return problem_response(
        Problem(status, phrase.lower().replace(" ", "-"), details.get(status, phrase.capitalize()), headers=headers)
    )


def _of_accident(error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    return problem_response(Problem(500, "internal", "something went wrong; the log knows more under this request id"))
