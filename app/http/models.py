"""What comes in: typed models that validate bodies and queries and that OpenAPI is generated from.

One rule for bodies: nothing is converted, and a member that is not named here is refused (422). One for queries: an
unknown parameter is refused (400).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    Strict,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from catalog.settings_model import digest_of

NAME = re.compile(r"[A-Za-z0-9 ._-]{1,80}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class RequestBody(BaseModel):
    """A request body."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)


class QueryParameters(BaseModel):
    """The query parameters of a route."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)


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
Secret = Annotated[
    SecretStr,
    Strict(strict=False),
    PlainSerializer(lambda secret: digest_of(secret.get_secret_value()), when_used="json"),
]
PoolSize = Annotated[int, Field(ge=1, le=100)]
JobStatus = Literal["queued", "running", "retrying", "cancelling", "succeeded", "failed", "cancelled"]


class EmptyBody(RequestBody):
    """A body with nothing in it; it may be left out."""


class NewOwner(RequestBody):
    """Who registers."""

    email: Email
    password: str = Field(max_length=4096)
    name: Annotated[str, AfterValidator(_title), Field(max_length=100)] = ""
    invitation: str | None = Field(None, min_length=1, max_length=200)


class Credentials(RequestBody):
    """Who signs in."""

    email: str = Field(max_length=320)
    password: str = Field(max_length=4096)


class RefreshToken(RequestBody):
    """What a sign-in is renewed with."""

    refresh_token: str = Field(max_length=4096)


class NewToken(RequestBody):
    """A personal access token that is wanted.

    scopes  what it may be used for: read what holds no secret, write, operate the installation; None: what its owner
            may now
    """

    name: Title
    expires_at: Moment | None = None
    scopes: Annotated[list[Literal["read", "write", "operate"]], Field(min_length=1, max_length=3)] | None = None


class NewProject(RequestBody):
    """A project that is wanted."""

    name: ProjectName
    pool_size: PoolSize | None = None


class ProjectChanges(RequestBody):
    """What is to change of a project; what is left out stays."""

    name: ProjectName | None = None
    pool_size: PoolSize | None = None


class NoQueryParameters(QueryParameters):
    """No query parameters."""


class PageQuery(QueryParameters):
    """A page of a list."""

    limit: Number = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=400)


class JobsQuery(PageQuery):
    """A page of jobs, by project, status, kind or parent."""

    project_id: Id | None = None
    status: JobStatus | None = None
    kind: str | None = Field(None, pattern=r"\A[a-z_.]{1,64}\z")
    parent_id: Id | None = None


class JobQuery(QueryParameters):
    """wait: seconds to wait for a change of the job."""

    wait: Number | None = Field(None, ge=0, le=60)
