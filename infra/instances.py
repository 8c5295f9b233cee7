"""Data-API instances: each is a folder with its rendered configuration; the data API serves what has one."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from infra.activity import Mark
from infra.errors import Unavailable
from infra.files import folder, holds, replace
from infra.render import render

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = "data-api.conf"
# The first line of a configuration: by it a folder is known to be ours, whose it is, and what it serves.
_LABEL = re.compile(r"# launchdb project=(proj_[0-9a-f]{16}) spec=([0-9a-f]{64})")


@dataclass(frozen=True)
class InstanceSpec:
    """What one data API has to serve. `id` names the instance, `project_id` whose it is.

    db_uri_before    tried when the server refuses db_uri's password: while that is changed, one of the two is right
    cors_origins     none: any
    rate_per_minute  0: not counted
    session          what a session is given when it begins: where that changes, the open ones are of no use any more
    """

    id: str
    project_id: str
    db_uri: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    anon_role: str
    pool_size: int
    max_rows: int
    schemas: tuple[str, ...] = ("public",)
    cors_origins: tuple[str, ...] = ()
    rate_per_minute: int = 0
    body_bytes: int = 10 * 1024 * 1024
    session: str = ""
    db_uri_before: str = field(default="", repr=False)


@dataclass(frozen=True)
class Instance:
    """An instance as it is found: whose it is, and the hash of what it was told to serve."""

    id: str
    project_id: str
    spec: str


class Instances(Protocol):
    """Verbs that state the wanted end, whichever way instances are run."""

    def ensure(self, spec: InstanceSpec) -> None:
        """Let the instance serve exactly this spec."""

    def serves(self, spec: InstanceSpec) -> bool:
        """Say whether the instance is there and serves exactly this spec."""

    def exists(self, instance_id: str) -> bool:
        """Say whether there is an instance of this name, whatever it serves."""

    def remove(self, instance_id: str, *, missing_ok: bool = True) -> None:
        """Let the instance be gone."""

    def list(self) -> list[Instance]:
        """List the instances that bear our label."""

    def address(self, instance_id: str) -> str:
        """Return the address that clients reach it at."""


class EmbeddedInstances:
    """Instances inside the API's own process, which reads a folder for each."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self._folder = folder
        self._base_url = base_url

    def ensure(self, spec: InstanceSpec) -> None:
        """Let the folder hold exactly this spec's configuration; an equal one is not touched. Raises Refused."""
        folder(self._folder)
        home = folder(self._folder / spec.id)
        home.chmod(0o700)
        if not self.serves(spec):
            # Half a file after a loss of power differs, and what differs is found by the sweep and written anew.
            replace(home / CONFIGURATION, self._text(spec), durable=False)
            Mark(home).touch()

    def serves(self, spec: InstanceSpec) -> bool:
        """Say whether the folder holds exactly this spec's configuration, for nobody else's eyes."""
        home = self._folder / spec.id
        file = home / CONFIGURATION
        try:
            return holds(file, self._text(spec)) and not (home.stat().st_mode | file.stat().st_mode) & 0o077
        except FileNotFoundError:
            return False

    def exists(self, instance_id: str) -> bool:
        """Say whether there is a folder of this name, whatever it holds."""
        return (self._folder / instance_id).exists()

    def _text(self, spec: InstanceSpec) -> str:
        text = render(CONFIGURATION, {**asdict(spec), "address": self.address(spec.id)})
        return f"# launchdb project={spec.project_id} spec={sha256(text.encode()).hexdigest()}\n{text}"

    def remove(self, instance_id: str, *, missing_ok: bool = True) -> None:
        """Let the folder be gone. Raises FileNotFoundError when it was not there and that is not `missing_ok`."""
        home = self._folder / instance_id
        try:
            # The configuration last: as long as anything is left, the folder can be told to be ours.
            for path in sorted(home.iterdir(), key=lambda path: path.name == CONFIGURATION):
                path.unlink(missing_ok=True)
            home.rmdir()
        except FileNotFoundError:
            if not missing_ok:
                raise
        except OSError as error:
            raise Unavailable(f"the instance's folder cannot be removed ({error.strerror})") from error

    def list(self) -> list[Instance]:
        """List the folders whose configuration bears our label."""
        found = [(path.parent.name, _label(path)) for path in sorted(self._folder.glob(f"*/{CONFIGURATION}"))]
        return [Instance(name, *label) for name, label in found if label is not None]

    def address(self, instance_id: str) -> str:
        """Return the address that clients reach the instance at."""
        return f"{self._base_url}/db/{instance_id}"


def _label(path: Path) -> tuple[str, str] | None:
    try:
        with path.open() as file:
            label = _LABEL.fullmatch(file.readline().rstrip("\n"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if label is None else (label[1], label[2])
