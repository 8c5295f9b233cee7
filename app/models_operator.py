"""What operators may send about schedules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from app.models import In


class ScheduleChanges(In):
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
