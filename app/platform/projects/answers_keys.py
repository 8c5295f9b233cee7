"""Answers of the routes about the keys of a project."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import Any, Literal

from app.http.answers import AcceptedOut, ResponseBody


class ApiKeyOut(ResponseBody):
    """An opaque API key. value: the key where it is no secret, or how it begins."""

    id: str
    name: str
    type: Literal["publishable", "secret"]
    role: Literal["anon", "service_role"]
    value: str
    created_at: datetime


class ApiKeysOut(ResponseBody):
    """The opaque API keys of a project, the oldest first."""

    keys: list[ApiKeyOut]


class ApiKeyAcceptedOut(AcceptedOut):
    """An API key that was made, and the job that tells the project's services. api_key: its value, this one time."""

    key: ApiKeyOut
    api_key: str | None = None


class AccessKeyOut(ResponseBody):
    """An S3 access key."""

    access_key_id: str
    name: str
    created_at: datetime


class AccessKeysOut(ResponseBody):
    """The S3 access keys of a project, the oldest first."""

    keys: list[AccessKeyOut]


class AccessKeyAcceptedOut(AcceptedOut):
    """An access key that was made, and the job that tells Storage. secret_access_key: its secret, this one time."""

    key: AccessKeyOut
    secret_access_key: str | None = None


class SigningKeyOut(ResponseBody):
    """A signing key. public_key: a JWK; None of a symmetric one."""

    id: str
    algorithm: Literal["ES256", "RS256", "HS256"]
    state: Literal["standby", "in_use", "previous", "revoked"]
    created_at: datetime
    ends_at: datetime | None
    public_key: dict[str, Any] | None


class SigningKeysOut(ResponseBody):
    """The signing keys of a project, the newest first. signed_by: the id of the one in use; None: the JWT secret."""

    keys: list[SigningKeyOut]
    signed_by: str | None
