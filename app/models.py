"""What goes in and out: typed models that validate bodies and queries and that OpenAPI is generated from.

One rule for bodies: nothing is converted, and a member that is not named here is refused (422). One for queries: an
unknown parameter is refused (400).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema
from pydantic.alias_generators import to_camel

NAME = re.compile(r"[A-Za-z0-9 ._-]{1,80}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class In(BaseModel):
    """A request body."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)


class Query(BaseModel):
    """The query parameters of a route."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)


class Out(BaseModel):
    """An answer's body, as documented."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


def _name(text: str) -> str:
    trimmed = text.strip(" ")
    if NAME.fullmatch(trimmed) is None:
        raise ValueError("must be 1 to 80 letters, digits, spaces, dots, underscores or hyphens (a-z, A-Z, 0-9)")
    return trimmed


def _email(text: str) -> str:
    if len(text) > 254 or _EMAIL.fullmatch(text) is None:
        raise ValueError("must be an e-mail address of at most 254 characters")
    return text.lower()


def _title(text: str) -> str:
    trimmed = text.strip()
    if not trimmed.isprintable():
        raise ValueError("must not contain control or invisible characters")
    return trimmed


def _moment(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str) or _MOMENT.fullmatch(value) is None:
        raise ValueError("must be a time as in RFC 3339")
    moment = datetime.fromisoformat(value)
    if moment <= datetime.now(UTC):
        raise ValueError("must lie in the future")
    return moment


def _digits(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"[0-9]{1,6}", value, re.ASCII) is None:
        raise ValueError("must be a whole number")
    return int(value)


def _id(text: str) -> str:
    if re.fullmatch(r"(proj|job|bkp|own|tok)_[0-9a-f]{16,32}", text, re.ASCII) is None:
        raise ValueError("must be an id")
    return text


ProjectName = Annotated[str, AfterValidator(_name), Field(min_length=1, max_length=1000)]
Email = Annotated[str, AfterValidator(_email), Field(max_length=320)]
Title = Annotated[str, AfterValidator(_title), Field(min_length=1, max_length=100)]
Moment = Annotated[
    datetime, Strict(strict=False), BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
Number = Annotated[int, BeforeValidator(_digits)]
Id = Annotated[str, AfterValidator(_id), Field(max_length=40)]
PoolSize = Annotated[int, Field(ge=1, le=100)]
JobStatus = Literal["queued", "running", "retrying", "cancelling", "succeeded", "failed", "cancelled"]


class Nothing(In):
    """A body with nothing in it; it may be left out."""


class NewOwner(In):
    """Who registers."""

    email: Email
    password: str = Field(max_length=4096)
    name: Annotated[str, AfterValidator(_title), Field(max_length=100)] = ""


class Credentials(In):
    """Who signs in."""

    email: str = Field(max_length=320)
    password: str = Field(max_length=4096)


class RefreshToken(In):
    """What a sign-in is renewed with."""

    refresh_token: str = Field(max_length=4096)


class NewToken(In):
    """A personal access token that is wanted."""

    name: Title
    expires_at: Moment | None = None


class NewProject(In):
    """A project that is wanted."""

    name: ProjectName
    pool_size: PoolSize = 5


class ProjectChanges(In):
    """What is to change of a project; what is left out stays."""

    name: ProjectName | None = None
    pool_size: PoolSize | None = None


class NoQuery(Query):
    """No query parameters."""


class PageQuery(Query):
    """A page of a list."""

    limit: Number = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=400)


class JobsQuery(PageQuery):
    """A page of jobs, by project, status, kind or parent."""

    project_id: Id | None = None
    status: JobStatus | None = None
    kind: str | None = Field(None, pattern=r"\A[a-z_.]{1,64}\z")
    parent_id: Id | None = None


class JobQuery(Query):
    """wait: seconds to wait for a change of the job."""

    wait: Number | None = Field(None, ge=0, le=60)


class OwnerOut(Out):
    """An owner."""

    id: str
    email: str
    name: str
    created_at: datetime


class MeOut(OwnerOut):
    """The owner who asks."""

    is_operator: bool


class TokensOut(Out):
    """A sign-in."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str


class PersonalTokenOut(Out):
    """A personal access token; its value is in the answer to its creation only, and there once."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    token: str | None = None


class PersonalTokensOut(Out):
    """A page of personal access tokens."""

    tokens: list[PersonalTokenOut]
    next_cursor: str | None


class EndpointsOut(Out):
    """Where a project is reached."""

    project_url: str
    rest_url: str


class ProjectOut(Out):
    """A project."""

    id: str
    name: str
    status: Literal["provisioning", "active", "paused", "sleeping", "restoring", "failed", "deleting"]
    status_reason: str | None
    pool_size: int
    created_at: datetime
    updated_at: datetime
    endpoints: EndpointsOut
    current_job: str | None


class ProjectsOut(Out):
    """A page of projects."""

    projects: list[ProjectOut]
    next_cursor: str | None


class ConnectionOut(Out):
    """How to connect to a project; what this installation does not have is null."""

    database_url: str
    pooler_url: str | None
    rest_url: str
    auth_url: str | None
    storage_url: str | None
    project_url: str
    anon_key: str
    service_role_key: str


class ChildrenOut(Out):
    """How a parent's children are."""

    total: int
    succeeded: int
    failed: int
    open: int


class ProgressOut(Out):
    """How far a job is."""

    done: int
    total: int
    percent: float
    step: str | None
    message: str | None


class StepOut(Out):
    """A step of a job."""

    name: str
    title: str
    status: Literal["pending", "running", "succeeded", "skipped", "failed", "undone"]
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    message: str | None


class JobOut(Out):
    """A job."""

    id: str
    kind: str
    status: JobStatus
    project_id: str | None
    parent_id: str | None
    children: ChildrenOut
    created_by: str
    request_id: str | None
    priority: int
    attempt: int
    max_attempts: int
    progress: ProgressOut
    steps: list[StepOut]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    waiting_for: dict[str, Any] | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    estimated_finish_at: datetime | None


class JobsOut(Out):
    """A page of jobs."""

    jobs: list[JobOut]
    next_cursor: str | None


class AcceptedOut(Out):
    """Work that was begun."""

    job: JobOut


class ProjectAcceptedOut(AcceptedOut):
    """Work that was begun for a project."""

    project: ProjectOut | None = None


class WorkerOut(Out):
    """A worker process."""

    name: str
    host: str
    pid: int
    queues: list[str]
    threads: int
    current_job: str | None
    started_at: datetime
    last_beat_at: datetime


class WorkersOut(Out):
    """The workers that have not signed off."""

    workers: list[WorkerOut]


class QueueOut(Out):
    """A queue."""

    name: str
    depth: int
    running: int
    oldest_age_seconds: float | None
    paused_at: datetime | None
    paused_by: str | None


class QueuesOut(Out):
    """All queues."""

    queues: list[QueueOut]


class HealthOut(Out):
    """The process answers."""

    status: Literal["ok"]
    service: Literal["platform-api"]


class DependencyOut(Out):
    """Something the API depends on."""

    status: Literal["ok", "unavailable"]
    latency_ms: float


class ReadyOut(Out):
    """Whether the API can do its work, and with what."""

    status: Literal["ok", "degraded", "unavailable"]
    dependencies: dict[str, DependencyOut]


class ProblemOut(Out):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[dict[str, str]] = []
