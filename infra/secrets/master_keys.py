"""Master keys of before: backups of the platform that are older than a rotation need them, and nothing else does.

They lie sealed by the master key in force: whoever has only an old one can open nothing that is kept now.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from infra import files
from infra.errors import Refused
from infra.secrets import secretfiles
from infra.secrets.vault import master_key_id, open_by, seal_by

if TYPE_CHECKING:
    from pathlib import Path

NAME = "LAUNCHDB_MASTER_KEY"
FOLDER = "master-keys"
PURPOSE = b"launchdb retired master key"


def seal_earlier_keys(folder: Path) -> None:
    """Seal every master key of before by the newest one; twice is harmless. Raises Refused."""
    newest, *before = secretfiles.read(folder, NAME)
    known = {master_key_id(key): key for key in [*earlier_keys(folder), *before] if key != newest}
    kept = files.ensure_folder(folder / FOLDER)
    for key_id, key in known.items():
        path = kept / key_id
        if _open(path, [newest]) is None:
            files.replace(path, base64.b64encode(seal_by(newest, PURPOSE, key.encode())).decode() + "\n")


def earlier_keys(folder: Path) -> list[str]:
    """Return the master keys of before. Raises Refused when one does not open."""
    kept, valid = folder / FOLDER, secretfiles.read(folder, NAME)
    found = []
    with files.translate_os_errors(kept):
        paths = sorted(path for path in kept.iterdir() if not path.name.startswith(".")) if kept.is_dir() else []
    for path in paths:
        key = _open(path, valid)
        if key is None:
            raise Refused(f"the earlier master key {path.name} does not open with the one in force")
        found.append(key)
    return found


def _open(path: Path, keys: list[str]) -> str | None:
    if not path.exists():
        return None
    with files.translate_os_errors(path):
        text = path.read_text().strip()
    for key in keys:
        try:
            return open_by(key, PURPOSE, base64.b64decode(text, validate=True)).decode()
        except (Refused, binascii.Error):
            continue
    return None
