"""What goes out: typed models of the answers, which OpenAPI is generated from and tests hold the answers to."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.http.models import JobStatus  # noqa: TC001 - pydantic reads the annotations
from catalog.project_states import Shown  # noqa: TC001 - pydantic reads the annotations


class ResponseBody(BaseModel):
    """An answer's body, as documented."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class OwnerOut(ResponseBody):
    """An owner."""

    id: str
    email: str
    name: str
    created_at: datetime


class MeOut(OwnerOut):
    """The owner who asks."""

    is_operator: bool


class TokensOut(ResponseBody):
    """A sign-in, with the members of OAuth's answer (RFC 6749) beside ours: the same under two names."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    oauth_access_token: str = Field(alias="access_token")
    oauth_token_type: Literal["Bearer"] = Field(alias="token_type")
    oauth_expires_in: int = Field(alias="expires_in")


class PersonalTokenOut(ResponseBody):
    """A personal access token; its value is in the answer to its creation only, and there once."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    scopes: list[str]
    token: str | None = None


class PersonalTokensOut(ResponseBody):
    """A page of personal access tokens."""

    tokens: list[PersonalTokenOut]
    next_cursor: str | None


class EndpointsOut(ResponseBody):
    """Where a project is reached."""

    project_url: str
    rest_url: str


class ProjectOut(ResponseBody):
    """A project."""

    id: str
    name: str
    status: Shown
    status_reason: str | None
    drift: list[str]
    pool_size: int
    created_at: datetime
    updated_at: datetime
    endpoints: EndpointsOut
    current_job: str | None


class ProjectsOut(ResponseBody):
    """A page of projects."""

    projects: list[ProjectOut]
    next_cursor: str | None


class ConnectionOut(ResponseBody):
    """How to connect to a project; what this installation does not have is null, with the reason."""

    database_url: str | None
    pooler_url: str | None
    reason: str | None
    rest_url: str
    auth_url: str | None
    storage_url: str | None
    project_url: str
    anon_key: str
    service_role_key: str


class ChildrenOut(ResponseBody):
    """How a parent's children are."""

    total: int
    succeeded: int
    failed: int
    open: int


class ProgressOut(ResponseBody):
    """How far a job is."""

    done: int
    total: int
    percent: float
    step: str | None
    message: str | None


class StepOut(ResponseBody):
    """A step of a job."""

    name: str
    title: str
    status: Literal["pending", "running", "succeeded", "skipped", "failed", "undone"]
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    message: str | None


class JobOut(ResponseBody):
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


class JobsOut(ResponseBody):
    """A page of jobs."""

    jobs: list[JobOut]
    next_cursor: str | None


class AcceptedOut(ResponseBody):
    """Work that was begun."""

    job: JobOut


class ProjectAcceptedOut(AcceptedOut):
    """Work that was begun for a project."""

    project: ProjectOut | None = None


class WorkerOut(ResponseBody):
    """A worker process."""

    name: str
    host: str
    pid: int
    queues: list[str]
    threads: int
    current_job: str | None
    started_at: datetime
    last_beat_at: datetime


class WorkersOut(ResponseBody):
    """The workers that have not signed off."""

    workers: list[WorkerOut]


class QueueOut(ResponseBody):
    """A queue."""

    name: str
    depth: int
    running: int
    oldest_age_seconds: float | None
    paused_at: datetime | None
    paused_by: str | None


class QueuesOut(ResponseBody):
    """All queues."""

    queues: list[QueueOut]


class HealthOut(ResponseBody):
    """The process answers."""

    status: Literal["ok"]
    service: Literal["platform-api"]


class DependencyOut(ResponseBody):
    """Something the API depends on."""

    status: Literal["ok", "unavailable"]
    latency_ms: float


class ReadyOut(ResponseBody):
    """Whether the API can do its work, and with what."""

    status: Literal["ok", "degraded", "unavailable"]
    dependencies: dict[str, DependencyOut]


class ProblemOut(ResponseBody):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[dict[str, str]] = []
    sqlstate: str | None = None
    position: int | None = None
    hint: str | None = None
