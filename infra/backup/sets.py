"""A backup on the disk: its files and the manifest that names them, written last. Without it there is no backup."""

from __future__ import annotations

import base64
import hmac
import json
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infra import files
from infra.backup import set_names
from infra.backup.archive import BackupDamaged
from infra.errors import Refused
from infra.secrets import vault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VERSION = 1
MAC_PURPOSE, DETAILS_PURPOSE = b"launchdb backup manifest", b"launchdb backup details"
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class SetFile:
    """One file of a set. part: what it holds; plain_bytes: how much it unpacks to."""

    name: str
    part: str
    bytes: int
    sha256: str
    plain_bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a set is.

    id        the backup's own
    scope     a project's id, or 'platform'
    stem      what the names of its files begin with
    schema    the newest project migration
    details   sealed: what only the key's holder may read
    objects, object_bytes, added_bytes
              how many files of the project's it holds, with how many bytes, and how much that takes up which no set
              before held; None in sets that were made before they held files
    """

    id: str
    scope: str
    stem: str
    created_at: str
    format: str
    postgres: str
    schema: str
    key_id: str
    database_bytes: int
    files: tuple[SetFile, ...]
    details: str
    version: int = VERSION
    objects: int | None = None
    object_bytes: int | None = None
    added_bytes: int | None = None

    def file(self, part: str) -> SetFile | None:
        """Return the file that holds a part, or None."""
        return next((file for file in self.files if file.part == part), None)

    @property
    def bytes(self) -> int:
        """How much the files take up."""
        return sum(file.bytes for file in self.files)


def manifest_path(folder: Path, stem: str) -> Path:
    """Return where the manifest of a set stands."""
    return folder / set_names.manifest_name(stem)


def seal_details(key: str, details: Mapping[str, Any]) -> str:
    """Seal details for a manifest."""
    packed = zlib.compress(json.dumps(details).encode())
    return base64.b64encode(vault.seal_by(key, DETAILS_PURPOSE, packed)).decode()


def read_details(manifest: Manifest, key: str) -> dict[str, Any]:
    """Return a manifest's details. Raises Refused when the key does not open them."""
    packed = vault.open_by(key, DETAILS_PURPOSE, base64.b64decode(manifest.details))
    opened: dict[str, Any] = json.loads(zlib.decompress(packed))
    return opened


def write_manifest(folder: Path, manifest: Manifest, key: str) -> None:
    """Write the manifest: from now on the set is one."""
    plain = asdict(manifest)
    signed = {**plain, "hmac": _mac(key, plain)}
    files.replace(manifest_path(folder, manifest.stem), json.dumps(signed, indent=2) + "\n")


def read_manifest(folder: Path, stem: str, keys: Mapping[str, str]) -> Manifest:
    """Read a set's manifest. Raises Damaged, Refused when its key is not among `keys`; both say what is wrong."""
    path = manifest_path(folder, stem)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BackupDamaged(f"{path.name} is no manifest: it is far too large")
        plain = json.loads(path.read_text())
        mac = str(plain.pop("hmac"))
        manifest = Manifest(**{**plain, "files": tuple(SetFile(**file) for file in plain["files"])})
    except FileNotFoundError:
        raise BackupDamaged(f"{stem} has no manifest: it is not a whole backup") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupDamaged(f"{path.name} is no manifest: {type(error).__name__}") from None
    key = keys.get(manifest.key_id)
    if key is None:
        raise Refused(f"{stem} needs the backup key {manifest.key_id}, which is not among the secrets")
    if not hmac.compare_digest(mac, _mac(key, plain)):
        raise BackupDamaged(f"{path.name} was changed: its signature does not fit")
    if manifest.stem != stem:
        raise BackupDamaged(f"{path.name} belongs to another backup ({manifest.stem})")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Read every file of a set once. Raises Damaged naming the first that is not what was written."""
    for file in manifest.files:
        path = folder / file.name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise BackupDamaged(f"{file.name} is missing") from None
        if not file.name.startswith(f"{manifest.stem}."):
            raise BackupDamaged(f"{file.name} belongs to another backup")
        if size != file.bytes:
            raise BackupDamaged(f"{file.name} has {size} bytes instead of {file.bytes}")
        if files.sha256_of(path) != file.sha256:
            raise BackupDamaged(f"{file.name} was changed: its checksum does not fit")


def stems(folder: Path) -> list[str]:
    """Return the sets of a folder by name, the oldest of each project first."""
    return set_names.whole(path.name for path in _listed(folder))


def remove_set(folder: Path, stem: str) -> None:
    """Remove a set: its manifest first, so that what is left of it is no backup any more."""
    manifest_path(folder, stem).unlink(missing_ok=True)
    for path in _listed(folder):
        if path.name.startswith((f"{stem}.", f".{stem}.")):
            path.unlink(missing_ok=True)


def _listed(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from folder.iterdir()


def _mac(key: str, plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(vault.derive_key(key, MAC_PURPOSE), text, "sha256").hexdigest()
