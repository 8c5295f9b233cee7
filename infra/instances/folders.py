"""The folders of data-API instances: each holds a configuration, rendered whole, that says whose it is."""

from __future__ import annotations

import os
import re
import shutil
import stat
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from infra.errors import Unavailable
from infra.files import ensure_folder, holds, replace
from infra.instances.activity import FILE, ActivityMark
from infra.instances.instances import InstanceState
from infra.render import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from infra.instances.instances import InstanceSpec

CONFIGURATION, TAKEN = "data-api.conf", "taken"
# The socket, and what our own data API calls it until it listens.
SOCKETS = ("api.sock", ".api.sock.new")
# The first line of a configuration: by it a folder is known to be ours, whose it is, and what it serves.
LABEL = re.compile(r"# launchdb project=(proj_[0-9a-f]{16}) spec=([0-9a-f]{64})")
# What the template is told when an instance runs inside the API's own process.
INSIDE: Mapping[str, Any] = {"socket": "", "ours": True, "listens": True}


class InstanceFolders:
    """The folders below one folder.

    base_url  where clients reach this installation
    values    what the template is told of how instances run
    owner     whose the files are to be; None: ours
    """

    def __init__(
        self,
        root: Path,
        base_url: str,
        values: Mapping[str, Any] = INSIDE,
        *,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self._root, self._base_url, self._values, self._owner = root, base_url, values, owner

    def write(self, spec: InstanceSpec) -> None:
        """Ensure that the folder holds exactly this spec's configuration; an equal one is not touched.

        Raises Refused.
        """
        ensure_folder(self._root)
        home = ensure_folder(self._root / spec.id, owner=self._owner)
        home.chmod(0o700)
        if not self.holds(spec):
            # Half a file after a loss of power differs, and what differs is found by the sweep and written anew.
            replace(home / CONFIGURATION, self._text(spec), durable=False, owner=self._owner)
            ActivityMark(home).touch()

    def holds(self, spec: InstanceSpec) -> bool:
        """Return whether the folder holds exactly this spec's configuration, for nobody else's eyes."""
        home = self._root / spec.id
        file = home / CONFIGURATION
        try:
            found = home.stat(), file.stat()
        except FileNotFoundError:
            return False
        if self._owner is not None and any((one.st_uid, one.st_gid) != self._owner for one in found):
            return False
        return holds(file, self._text(spec)) and not (found[0].st_mode | found[1].st_mode) & 0o077

    def fault(self, spec: InstanceSpec) -> str:
        """Return why it does not hold exactly that; nothing when it does."""
        if self.holds(spec):
            return ""
        return "its configuration was changed" if self.exists(spec.id) else "it is missing"

    def exists(self, instance_id: str) -> bool:
        """Return whether there is a folder of this name, whatever it holds."""
        return (self._root / instance_id).exists()

    def hash(self, spec: InstanceSpec) -> str:
        """Return the hash of what this spec's configuration says."""
        return sha256(self._plain(spec).encode()).hexdigest()

    def taken_hash(self, instance_id: str) -> str:
        """Return the hash of the configuration that a program which does not tell it was started with, if known."""
        try:
            return (self._root / instance_id / TAKEN).read_text()
        except (OSError, UnicodeDecodeError):
            return ""

    def remember_taken(self, spec: InstanceSpec) -> None:
        """Remember that it was started with this spec's configuration."""
        replace(self._root / spec.id / TAKEN, self.hash(spec), durable=False, owner=self._owner)

    def remove(self, instance_id: str, *, missing_ok: bool = True) -> None:
        """Remove the folder. Raises FileNotFoundError when it was not there and that is not `missing_ok`."""
        home = self._root / instance_id
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

    def list(self) -> list[InstanceState]:
        """List the folders whose configuration bears our label."""
        found = [(path.parent.name, _label(path)) for path in sorted(self._root.glob(f"*/{CONFIGURATION}"))]
        return [InstanceState(name, *label) for name, label in found if label is not None]

    def address(self, instance_id: str) -> str:
        """Return the address that clients reach the instance at."""
        return f"{self._base_url}/db/{instance_id}"

    def _text(self, spec: InstanceSpec) -> str:
        return f"# launchdb project={spec.project_id} spec={self.hash(spec)}\n{self._plain(spec)}"

    def _plain(self, spec: InstanceSpec) -> str:
        return render(CONFIGURATION, {**asdict(spec), **self._values, "address": self.address(spec.id)})


class SocketFolders:
    """One folder a project in which its container makes its socket; nothing else of the host is writable to it."""

    NAME = SOCKETS[0]

    def __init__(self, root: Path, *, owner: tuple[int, int] | None = None) -> None:
        self._root, self._owner = root, owner
        # When each folder was last seen to hold nothing else, by a time that nobody inside can set.
        self._clean: dict[str, int] = {}

    def path(self, instance_id: str) -> Path:
        """Return where the instance's socket lies."""
        return self._root / instance_id / self.NAME

    def make(self, instance_id: str) -> None:
        """Ensure that the folder exists, for nobody else's eyes. Raises Refused."""
        ensure_folder(self._root)
        home = ensure_folder(self._root / instance_id, owner=self._owner)
        home.chmod(0o700)
        if self._owner is not None:
            os.chown(home, *self._owner)

    def answers(self, instance_id: str) -> bool:
        """Return whether a socket is there."""
        return self.path(instance_id).is_socket()

    def littered(self) -> list[str]:
        """List the folders that hold more than a socket and the mark of the last request: nobody of ours does that."""
        found = {path.name: path.stat().st_ctime_ns for path in _folders(self._root)}
        clean = {name: seen for name, seen in self._clean.items() if found.get(name) == seen}
        suspected = found.keys() - clean.keys()
        dirty = {name for name in suspected if not _holds_its_own_alone(self._root / name)}
        self._clean = clean | {name: found[name] for name in suspected - dirty}
        return sorted(dirty)

    def remove(self, instance_id: str) -> None:
        """Remove the folder, with whatever the container left in it. Raises Unavailable."""
        try:
            shutil.rmtree(self._root / instance_id)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(f"the instance's socket folder cannot be removed ({error.strerror})") from error


def _folders(root: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from root.iterdir()


def _holds_its_own_alone(folder: Path) -> bool:
    # Whoever cannot read it has been shut out by somebody inside.
    try:
        with os.scandir(folder) as entries:
            return all(
                (one.name == FILE and one.is_file(follow_symlinks=False))
                or (one.name in SOCKETS and stat.S_ISSOCK(one.stat(follow_symlinks=False).st_mode))
                for one in entries
            )
    except FileNotFoundError:
        return True
    except PermissionError:
        return False


def _label(path: Path) -> tuple[str, str] | None:
    try:
        with path.open() as file:
            label = LABEL.fullmatch(file.readline().rstrip("\n"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if label is None else (label[1], label[2])
