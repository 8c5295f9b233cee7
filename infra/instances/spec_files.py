"""What a service has to know of each project: one file each, whole, which jobs write and the service reads anew.

Such a service needs neither the platform's database nor the master key to answer a project's clients.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from infra.errors import Refused
from infra.files import ensure_folder, holds, replace

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".json"


@dataclass(frozen=True)
class ProjectSpec:
    """What a service serves of one project. Specs are dataclasses below this one, of what JSON can hold."""

    service: ClassVar[str] = "service"  # in the words of its errors
    project_id: str

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @property
    def hash(self) -> str:
        """The hash of what it says."""
        return sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of a file; members of a later release are left aside. Raises Refused."""
        try:
            found = json.loads(text)
            known: dict[str, Any] = {name: value for name, value in found.items() if name in cls.__dataclass_fields__}
            return cls(**known).checked()
        except (ValueError, TypeError, AttributeError) as error:
            raise Refused(f"the file of a project's {cls.service} is not whole") from error

    def checked(self) -> Self:
        """Return itself where all is there that is needed. Raises Refused."""
        return self


S = TypeVar("S", bound=ProjectSpec)


class SpecFiles(Generic[S]):
    """The files below one folder.

    owner  whose they are to be; None: ours
    marks  where the service notes that it is asked for a project, which is forgotten with its file; None: nowhere
    """

    def __init__(
        self, root: Path, spec: type[S], *, owner: tuple[int, int] | None = None, marks: Path | None = None
    ) -> None:
        self.root, self.marks, self._spec, self._owner = root, marks, spec, owner

    def path(self, project_id: str) -> Path:
        """Return where a project's file lies."""
        return self.root / f"{project_id}{SUFFIX}"

    def stamp(self, project_id: str) -> tuple[int, int, int] | None:
        """Return what changes with the project's file, or None when there is none."""
        try:
            found = self.path(project_id).stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def read(self, project_id: str) -> S | None:
        """Return what the project's file says, or None when there is none. Raises Refused."""
        try:
            return self._spec.from_json(self.path(project_id).read_text())
        except (OSError, UnicodeDecodeError):
            return None

    def ensure(self, spec: S) -> None:
        """Ensure that the project's file says exactly this; an equal one is not touched. Raises Refused."""
        ensure_folder(self.root, owner=self._owner)
        if not self.holds(spec):
            replace(self.path(spec.project_id), spec.to_json(), durable=False, owner=self._owner)

    def holds(self, spec: S) -> bool:
        """Return whether the project's file says exactly this, for nobody else's eyes."""
        path = self.path(spec.project_id)
        try:
            return holds(path, spec.to_json()) and not path.stat().st_mode & 0o077
        except FileNotFoundError:
            return False

    def fault(self, spec: S) -> str:
        """Return in words why the project's file does not say exactly this; nothing when it does."""
        if self.holds(spec):
            return ""
        return "its file was changed" if self.exists(spec.project_id) else "its file is missing"

    def exists(self, project_id: str) -> bool:
        """Return whether the project has a file, whatever it says."""
        return self.path(project_id).exists()

    def remove(self, project_id: str) -> None:
        """Ensure that the project has no file: it is served no more."""
        self.path(project_id).unlink(missing_ok=True)
        if self.marks is not None:
            (self.marks / project_id).unlink(missing_ok=True)

    def list(self) -> list[str]:
        """List the ids of the projects that have a file."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self.root.glob(f"proj_*{SUFFIX}"))
