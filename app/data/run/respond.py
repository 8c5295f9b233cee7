"""Answers: status, headers and body from what the statement returned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from app.data.errors import PgrstError
from app.data.parse.request import ROOT, ROUTINE
from app.data.plan.schema import DELETE, INSERT, UPDATE
from app.data.run import openapi, raised

if TYPE_CHECKING:
    from app.data.config import DataConfig
    from app.data.parse.request import Request
    from app.data.plan.schema import SchemaCache, Table
    from app.data.run.description import SchemaComments
    from app.data.run.session import Outcome
    from app.data.sql.statement import PlannedStatement

# Clients take so many bytes of an answer's head as they send of a request's: undici 16 KiB, of all headers together.
LOCATION_MAX = 4096
READ_PREFERENCES = ("count", "tx", "handling", "timezone")


@dataclass(frozen=True)
class DataResponse:
    """An answer. Its headers are text; the wire sends them as UTF-8."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    reason: str = ""  # phrase of the status line; the usual one when empty


def data_response(outcome: Outcome, statement: PlannedStatement, request: Request, config: DataConfig) -> DataResponse:
    """Return the answer to a request that Postgres has carried out. Raises PgrstError for bad response settings."""
    if statement.media.is_plan:
        headers = [("Content-Type", statement.media.content_type), *_profile(request)]
        return DataResponse(200, headers, b"" if request.method == "HEAD" else outcome.body)
    if statement.writes and statement.routine is None:
        found = _written(outcome, statement, request)
    else:
        found = _rows(outcome, statement, request, config)
    return _overridden(found, outcome)


def error_response(fault: PgrstError, *, head: bool = False, minimal: bool = False) -> DataResponse:
    """Return the answer that a fault is."""
    return DataResponse(fault.status, fault.head(), b"" if head else fault.payload(minimal=minimal), fault.reason)


def options_response(request: Request, cache: SchemaCache) -> DataResponse:
    """Return what may be done with a resource."""
    allowed = "OPTIONS,GET,HEAD"
    if request.resource == ROUTINE:
        routines = cache.routines.get(request.target, ())
        allowed = "OPTIONS,POST" if any(each.volatility == "v" for each in routines) else "OPTIONS,GET,HEAD,POST"
    elif request.resource != ROOT:
        allowed = _methods(cache.tables[request.target])
    return DataResponse(200, [("Allow", allowed), ("Access-Control-Allow-Origin", "*")])


def check_description(request: Request) -> None:
    """Raise PgrstError (PGRST107) for a media type that the description of the API does not come in."""
    kinds = {media.kind for media in request.accepts}
    if not kinds & {"application/openapi+json", "application/json", "*/*"}:
        names = ", ".join(media.kind for media in request.accepts)
        raise PgrstError("PGRST107", f"None of these media types are available: {names}")


def root_response(request: Request, cache: SchemaCache, config: DataConfig, comments: SchemaComments) -> DataResponse:
    """Return the description of the API."""
    headers = [("Content-Type", "application/openapi+json; charset=utf-8"), *_profile(request)]
    text = json.dumps(openapi.swagger(request.target.schema, cache, config, comments)).encode()
    return DataResponse(200, headers, b"" if request.method == "HEAD" else text)


def _methods(table: Table) -> str:
    allowed = ["OPTIONS", "GET", "HEAD"]
    events = table.events
    allowed += ["POST"] if events & INSERT else []
    allowed += ["PUT"] if events & INSERT and events & UPDATE and table.key else []
    allowed += ["PATCH"] if events & UPDATE else []
    allowed += ["DELETE"] if events & DELETE else []
    return ",".join(allowed)


def _rows(outcome: Outcome, statement: PlannedStatement, request: Request, config: DataConfig) -> DataResponse:
    lower = request.window.offset
    upper = lower + outcome.page - 1
    total = int(outcome.total) if outcome.total is not None else None
    status = 200
    if total is not None:
        status = 416 if lower > total else 206 if 1 + upper - lower < total else 200
    if status == 416:
        raise PgrstError(
            "PGRST103",
            "Requested range not satisfiable",
            f"An offset of {lower} was requested, but there are only {total} rows.",
            headers=(_content_range(lower, upper, total),),
        )
    headers = [_content_range(lower, upper, total)]
    applied = request.preferences.applied(
        READ_PREFERENCES if statement.routine is None else (*READ_PREFERENCES, "max-affected")
    )
    headers += [("Preference-Applied", applied)] if applied else []
    if statement.routine is not None and statement.routine.is_void:
        return DataResponse(204, headers)
    if statement.routine is None:
        query = f"?{request.canonical}" if request.canonical else ""
        location = f"/{quote(request.target.name)}{query}"
        headers += [("Content-Location", location)] if len(location) <= LOCATION_MAX else []
    headers += [("Content-Type", statement.media.content_type), *_profile(request)]
    del config
    return DataResponse(status, headers, b"" if request.method == "HEAD" else outcome.body)


def _written(outcome: Outcome, statement: PlannedStatement, request: Request) -> DataResponse:
    prefer, method = request.preferences, request.method
    counted = outcome.page if prefer.count in ("exact", "estimated") else None
    headers = []
    if method != "PUT":
        lower, upper = (0, outcome.page - 1) if method == "PATCH" else (1, 0)
        headers.append(_content_range(lower, upper, counted))
    applied = prefer.applied(_applicable(statement, request))
    headers += [("Preference-Applied", applied)] if applied else []
    if method == "POST" and outcome.total is not None:
        headers.append(_location(outcome.total, request))
    inserted = int(outcome.inserted) if outcome.inserted is not None else None
    merging = statement.mutation is not None and statement.mutation.resolution == "merge-duplicates"
    updated = merging and (inserted or 0) <= 0
    if prefer.returning == "representation":
        status = 200 if method in ("PATCH", "DELETE") or updated else 201
        headers += [("Content-Type", statement.media.content_type), *_profile(request)]
        return DataResponse(status, headers, outcome.body)
    return DataResponse((200 if updated else 201) if method == "POST" else 204, headers)


def _applicable(statement: PlannedStatement, request: Request) -> tuple[str, ...]:
    names = ["return", "count", "tx", "handling", "timezone"]
    if request.method in ("POST", "PATCH"):
        names.append("missing")
    if request.method in ("PATCH", "DELETE"):
        names.append("max-affected")
    keyed = statement.table is not None and (statement.table.key or request.query.on_conflict is not None)
    if request.method == "POST" and keyed:
        names.append("resolution")
    return tuple(names)


def _location(found: bytes, request: Request) -> tuple[str, str]:
    pairs = [(str(key), str(value)) for key, value in json.loads(found)]
    return ("Location", f"/{quote(request.target.name)}?{urlencode(pairs, safe='.')}")


def _content_range(lower: int, upper: int, total: int | None) -> tuple[str, str]:
    shown = f"{lower}-{upper}" if lower <= upper and total != 0 else "*"
    return ("Content-Range", f"{shown}/{'*' if total is None else total}")


def _profile(request: Request) -> list[tuple[str, str]]:
    return [("Content-Profile", request.target.schema)] if request.negotiated else []


def _overridden(found: DataResponse, outcome: Outcome) -> DataResponse:
    status, headers = found.status, found.headers
    if outcome.status is not None:
        status = raised.response_status(outcome.status)
    if outcome.headers is not None:
        given = raised.response_headers(outcome.headers)
        names = {name.lower() for name, _ in given}
        headers = [header for header in headers if header[0].lower() not in names] + given
    return DataResponse(status, headers, found.body)
