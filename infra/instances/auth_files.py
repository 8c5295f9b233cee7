"""What Auth has to know of each project: one file each, whole, which jobs write and Auth reads anew when it changes.

Auth needs neither the platform's database nor the master key to answer a project's users: what is here is enough.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from infra.errors import Refused
from infra.files import ensure_folder, holds, replace

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".json"


@dataclass(frozen=True)
class AuthSpec:
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

    project_id: str
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

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @property
    def hash(self) -> str:
        """The hash of what it says."""
        return sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> AuthSpec:
        """Read the text of a file; members of a later release are left aside. Raises Refused."""
        try:
            found = json.loads(text)
            known = {name: value for name, value in found.items() if name in cls.__dataclass_fields__}
            spec = cls(**{**known, "api_keys": tuple(known.get("api_keys", ()))})
        except (ValueError, TypeError, AttributeError) as error:
            raise Refused("the file of a project's Auth is not whole") from error
        if not spec.db_uri:  # without it the driver would go wherever it is told to
            raise Refused("the file of a project's Auth names no database")
        return spec


class AuthFiles:
    """The files below one folder.

    owner  whose they are to be; None: ours
    marks  where Auth notes that it is asked for a project, which is forgotten with its file; None: nowhere
    """

    def __init__(self, root: Path, *, owner: tuple[int, int] | None = None, marks: Path | None = None) -> None:
        self.root, self._owner, self._marks = root, owner, marks

    def path(self, project_id: str) -> Path:
        """Return where a project's file lies."""
        return self.root / f"{project_id}{SUFFIX}"

    def ensure(self, spec: AuthSpec) -> None:
        """Ensure that the project's file says exactly this; an equal one is not touched. Raises Refused."""
        ensure_folder(self.root, owner=self._owner)
        if not self.holds(spec):
            replace(self.path(spec.project_id), spec.to_json(), durable=False, owner=self._owner)

    def holds(self, spec: AuthSpec) -> bool:
        """Return whether the project's file says exactly this, for nobody else's eyes."""
        path = self.path(spec.project_id)
        try:
            return holds(path, spec.to_json()) and not path.stat().st_mode & 0o077
        except FileNotFoundError:
            return False

    def fault(self, spec: AuthSpec) -> str:
        """Return in words why the project's file does not say exactly this; nothing when it does."""
        if self.holds(spec):
            return ""
        return "its file was changed" if self.exists(spec.project_id) else "its file is missing"

    def exists(self, project_id: str) -> bool:
        """Return whether the project has a file, whatever it says."""
        return self.path(project_id).exists()

    def remove(self, project_id: str) -> None:
        """Ensure that the project has no file: Auth serves it no more."""
        self.path(project_id).unlink(missing_ok=True)
        if self._marks is not None:
            (self._marks / project_id).unlink(missing_ok=True)

    def list(self) -> list[str]:
        """List the ids of the projects that have a file."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self.root.glob(f"proj_*{SUFFIX}"))
