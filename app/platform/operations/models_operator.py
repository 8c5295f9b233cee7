"""What operators may send about schedules and the platform's own secrets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.http.models import Email, Number, PoolSize, QueryParameters, RequestBody, Secret
from jobs.projects.platform_secrets import ALL, SMTP_PASSWORD


class CapacityQuery(QueryParameters):
    """projects: for how many projects is planned, if not for those there are."""

    projects: Number | None = None


class NewPoolSize(RequestBody):
    """The size of all pools."""

    pool_size: PoolSize


class ScheduleChanges(RequestBody):
    """What is to change of a schedule; what is left out stays."""

    cron: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    timezone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _nothing_is_null(self) -> ScheduleChanges:
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class PlatformRotation(RequestBody):
    """Which secret of the platform's own is rotated.

    grace_seconds  how long the old one is good besides, by default a day (a minute for the master key, at least half)
    password       the new one, of the mail server's, which people choose
    to             where the mail goes that proves it; by default to the operator who asks
    """

    secret: Literal[
        "internalApiKey",
        "masterKey",
        "smtpPassword",
        "backupEncryptionKey",
        "platformJwtSecret",
        "apiDatabasePassword",
        "workerDatabasePassword",
        "schedulerDatabasePassword",
        "authDatabasePassword",
        "storageDatabasePassword",
        "managerDatabasePassword",
        "backupDatabasePassword",
    ]
    grace_seconds: int | None = Field(None, ge=0, le=30 * 24 * 3600)
    password: Annotated[Secret, Field(min_length=1, max_length=1024)] | None = None
    to: Email | None = None

    @model_validator(mode="after")
    def _fits_the_secret(self) -> PlatformRotation:
        if self.grace_seconds is not None and ALL[self.secret].grace is None:
            raise ValueError(f"{self.secret} has no grace time")
        if (self.password is not None) != (self.secret == SMTP_PASSWORD):
            raise ValueError(f"password is given with {SMTP_PASSWORD}, and with no other: the others are made")
        if self.to is not None and self.secret != SMTP_PASSWORD:
            raise ValueError(f"to is given with {SMTP_PASSWORD} alone")
        if self.password is not None and not self.password.get_secret_value().isprintable():
            raise ValueError("password must be one line of printable characters")
        if self.password is not None and self.password.get_secret_value() != self.password.get_secret_value().strip():
            raise ValueError("password must not begin or end with a space")
        return self
