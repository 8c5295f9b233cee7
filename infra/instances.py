"""Data-API instances: each is a folder with its rendered configuration; the data API serves what has one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from infra.errors import Unavailable
from infra.files import folder, holds, replace
from infra.render import render

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION, LABEL = "data-api.conf", "label.json"


@dataclass(frozen=True)
class InstanceSpec:
    """What one data API has to serve. `id` names the instance, `project_id` whose it is."""

    id: str
    project_id: str
    db_uri: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    anon_role: str
    pool_size: int
    max_rows: int
    schemas: tuple[str, ...] = ("public",)


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
        text = render(CONFIGURATION, {**asdict(spec), "address": self.address(spec.id)})
        label = json.dumps({"project": spec.project_id, "spec": hashlib.sha256(text.encode()).hexdigest()})
        home = self._folder / spec.id
        folder(self._folder)
        folder(home).chmod(0o700)
        # The label first: whatever is found in this folder later can be told to be ours.
        for path, content in ((home / LABEL, label), (home / CONFIGURATION, text)):
            if not (holds(path, content) and path.stat().st_mode & 0o077 == 0):
                replace(path, content)

    def remove(self, instance_id: str, *, missing_ok: bool = True) -> None:
        """Let the folder be gone. Raises FileNotFoundError when it was not there and that is not `missing_ok`."""
        home = self._folder / instance_id
        try:
            # The configuration first: with it the data API stops serving. The label last, as long as anything is left.
            (home / CONFIGURATION).unlink(missing_ok=True)
            for path in sorted(home.iterdir(), key=lambda path: path.name == LABEL):
                path.unlink(missing_ok=True)
            home.rmdir()
        except FileNotFoundError:
            if not missing_ok:
                raise
        except OSError as error:
            raise Unavailable(f"the instance's folder cannot be removed ({error.strerror})") from error

    def list(self) -> list[Instance]:
        """List the folders that bear our label, whether or not their configuration is there."""
        labels = sorted(self._folder.glob(f"*/{LABEL}"))
        return [Instance(path.parent.name, **_label(path)) for path in labels if _label(path)]

    def address(self, instance_id: str) -> str:
        """Return the address that clients reach the instance at."""
        return f"{self._base_url}/db/{instance_id}"


def _label(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
        return {"project_id": str(found["project"]), "spec": str(found["spec"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
