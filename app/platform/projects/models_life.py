"""What owners may send about a project's life."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.http.models import QueryParameters, RequestBody
from jobs.projects.project_secrets import DATABASE_PASSWORD


class DeleteQuery(QueryParameters):
    """purge: keep nothing that could bring the project back."""

    purge: bool = False


class UsersImport(RequestBody):
    """A dump of another project's schema `auth`. file: its name in the imports folder of this installation."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$")]


class SecretRotationRequest(RequestBody):
    """Which secret of a project is rotated. grace_seconds: how long old API keys are good besides, by default a day."""

    secret: Literal["databasePassword", "jwtSecret"]
    grace_seconds: int | None = Field(None, ge=0, le=30 * 24 * 3600)

    @model_validator(mode="after")
    def _only_of_keys(self) -> SecretRotationRequest:
        if self.secret == DATABASE_PASSWORD and self.grace_seconds is not None:
            raise ValueError("a password has no grace time: Postgres knows one at a time")
        return self
