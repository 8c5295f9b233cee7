"""What owners may send about backups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.http.models import Id, ProjectName, RequestBody, Secret
from catalog.ids import is_id


def _one_line(passphrase: SecretStr) -> SecretStr:
    # gpg reads a passphrase to the end of its first line: the rest would protect nothing.
    if not passphrase.get_secret_value().isprintable():
        raise ValueError("must be one line of printable characters")
    return passphrase


Passphrase = Annotated[Secret, Field(min_length=16, max_length=200), AfterValidator(_one_line)]


class Export(RequestBody):
    """An export. passphrase: one of your own; else one is made."""

    passphrase: Passphrase | None = None


class Import(RequestBody):
    """An export that becomes a project.

    file      its name in the imports folder of this installation
    keys      keep: the project has the id, the API keys and the JWT secret that it has there; new: others
    name      another one than it has there
    owner_id  whose it will be; by default the operator's who asks
    partial   also when something of it cannot come back
    """

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$")]
    passphrase: Passphrase
    keys: Literal["keep", "new"] = "keep"
    name: ProjectName | None = None
    owner_id: Id | None = None
    partial: bool = False


class Restore(RequestBody):
    """Where a backup is restored to; name: of the new project; partial: also when something of it cannot come back."""

    into: Literal["same", "new"] = "same"
    name: ProjectName | None = None
    partial: bool = False

    @model_validator(mode="after")
    def _named_when_new(self) -> Restore:
        if (self.name is not None) != (self.into == "new"):
            raise ValueError("a new project needs a name, and only a new one has one")
        return self


class Undelete(RequestBody):
    """Which backup brings a deleted project back.

    name     when its old one was given away
    partial  also when something of it cannot come back
    """

    backup_id: str = Field(min_length=1, max_length=64)
    name: ProjectName | None = None
    partial: bool = False

    @model_validator(mode="after")
    def _is_an_id(self) -> Undelete:
        if not is_id("bkp", self.backup_id):
            raise ValueError("backupId must be the id of a backup")
        return self
