"""What Storage has to know of each project: one file each, which jobs write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from infra.errors import Refused
from infra.instances.spec_files import ProjectSpec


@dataclass(frozen=True)
class StorageSpec(ProjectSpec):
    """What Storage serves of one project.

    url            where clients reach the project, without a slash at its end
    db_uri         the database, as the project's Storage login
    db_uri_before  tried when db_uri's password is refused: while that is changed, one of the two is right
    jwt_secret     what tokens are verified by, as `infra.secrets.tokens.verification_keys` takes it
    url_keys       what signed URLs are signed with: the first signs, all of them are good
    roles          the database's roles by the shared name of each: anon, authenticated, service_role
    api_keys       the opaque API keys that are good, `role:hash` each (see infra.secrets.opaque_keys)
    access_keys    the secret of each S3 access key that is good, by its id
    session_keys   what a session of S3 is signed with by whoever has a user's token: the keys of apps
    settings       the project's settings, as JSON by their public names
    """

    service: ClassVar[str] = "Storage"
    url: str
    db_uri: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    url_keys: list[str] = field(repr=False)
    roles: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    pool_size: int = 8
    db_uri_before: str = field(default="", repr=False)
    api_keys: list[str] = field(default_factory=list)
    access_keys: dict[str, str] = field(default_factory=dict, repr=False)
    session_keys: list[str] = field(default_factory=list, repr=False)

    def checked(self) -> Self:
        """Return itself where it names a database and a key. Raises Refused."""
        if not self.db_uri:  # without it the driver would go wherever it is told to
            raise Refused("the file of a project's Storage names no database")
        if not self.url_keys or not all(isinstance(key, str) and len(key) >= 32 for key in self.url_keys):
            raise Refused("the file of a project's Storage has no key for signed URLs")
        return self
