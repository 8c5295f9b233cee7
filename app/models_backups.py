"""What owners may send about backups."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from app.models import In, ProjectName, Query
from catalog.ids import is_id


class Restore(In):
    """Where a backup is restored to; name: of the new project."""

    into: Literal["same", "new"] = "same"
    name: ProjectName | None = None

    @model_validator(mode="after")
    def _named_when_new(self) -> Restore:
        if (self.name is not None) != (self.into == "new"):
            raise ValueError("a new project needs a name, and only a new one has one")
        return self


class Undelete(In):
    """Which backup brings a deleted project back; name: when its old one was given away."""

    backup_id: str = Field(min_length=1, max_length=64)
    name: ProjectName | None = None

    @model_validator(mode="after")
    def _is_an_id(self) -> Undelete:
        if not is_id("bkp", self.backup_id):
            raise ValueError("backupId must be the id of a backup")
        return self


class DeleteQuery(Query):
    """purge: keep nothing that could bring the project back."""

    purge: bool = False
