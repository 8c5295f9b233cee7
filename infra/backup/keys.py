"""The keys that backups are encrypted with: the one in force, and those of before, so that old sets stay readable."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from infra import files
from infra.errors import Refused
from infra.secrets import secretfiles

if TYPE_CHECKING:
    from pathlib import Path

NAME = "BACKUP_ENCRYPTION_KEY"
FOLDER = "backup-keys"
SHORTEST = 22  # characters: 16 random bytes in base64


def backup_key_id(key: str) -> str:
    """Return by what a key is known: nothing can be concluded from it."""
    return hashlib.sha256(b"launchdb backup key id\0" + key.encode()).hexdigest()[:16]


def backup_key(folder: Path) -> tuple[str, str]:
    """Return the key in force with its id. Raises Refused for one that gpg would not take as it stands."""
    key = secretfiles.current(folder, NAME)
    if len(key.splitlines()) != 1 or len(key) < SHORTEST:
        # gpg reads a passphrase to the end of its first line: the rest would protect nothing.
        raise Refused(f"{NAME} must be one line of at least {SHORTEST} characters")
    return backup_key_id(key), key


def keep_current_key(folder: Path) -> None:
    """Ensure that the key in force is among those that are kept; twice is harmless. Raises Refused."""
    key_id, key = backup_key(folder)
    path = files.ensure_folder(folder / FOLDER) / key_id
    if not files.holds(path, key + "\n"):
        files.replace(path, key + "\n")


def backup_keys(folder: Path) -> dict[str, str]:
    """Return every key that sets may need, by id: the one in force and all that were kept. Raises Refused."""
    kept = folder / FOLDER
    with files.translate_os_errors(kept):
        known = (
            [path.read_text().strip() for path in sorted(kept.iterdir()) if path.name[0] != "."]
            if kept.is_dir()
            else []
        )
    return {backup_key_id(key): key for key in [*known, *secretfiles.read(folder, NAME)]}
