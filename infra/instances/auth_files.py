"""What Auth has to know of each project: one file each, which jobs write; the master key is in none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from infra.errors import Refused
from infra.instances.spec_files import ProjectSpec, SpecFiles

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class AuthSpec(ProjectSpec):
    """What Auth serves of one project.

    url            where clients reach the project, without a slash at its end
    db_uri         the database, as the project's Auth login
    db_uri_before  tried when db_uri's password is refused: while that is changed, one of the two is right
    jwt_secret     what tokens are verified by, as `infra.secrets.tokens.verification_keys` takes it
    signing_key    what tokens are signed with, as `infra.secrets.tokens.sign_token` takes it
    api_keys       the opaque API keys that are good, `role:hash` each (see infra.secrets.opaque_keys)
    roles          the database's roles by the shared name of each: anon, authenticated, service_role
    mail_key       what letters are sealed with for the worker that sends them
    has_mail       whether letters go to a mail server
    takes_mail     whether letters are taken at all: into a mailbox for trials, where there is no server
    settings       the project's settings, as JSON by their public names
    secrets        of the settings that are kept in the vault, those that Auth needs, by the names of the secrets
    """

    service: ClassVar[str] = "Auth"
    url: str
    db_uri: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    signing_key: str = field(repr=False)
    roles: dict[str, str]
    mail_key: str = field(default="", repr=False)
    has_mail: bool = False
    takes_mail: bool = True
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    pool_size: int = 4
    db_uri_before: str = field(default="", repr=False)
    api_keys: tuple[str, ...] = ()

    def checked(self) -> Self:
        """Return itself where it names a database. Raises Refused."""
        if not self.db_uri:  # without it the driver would go wherever it is told to
            raise Refused("the file of a project's Auth names no database")
        return replace(self, api_keys=tuple(self.api_keys))  # JSON has lists alone


class AuthFiles(SpecFiles[AuthSpec]):
    """The files of Auth below one folder; see SpecFiles."""

    def __init__(self, root: Path, *, owner: tuple[int, int] | None = None, marks: Path | None = None) -> None:
        super().__init__(root, AuthSpec, owner=owner, marks=marks)
