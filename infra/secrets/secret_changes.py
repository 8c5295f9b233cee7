"""How a secret of the platform is changed: whole files only, the old value beside the new one, `.env` with it."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from config.logging import hide_values
from infra import files
from infra.errors import Refused
from infra.secrets import secretfiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = ".lock"
# By what the secrets are known that a service was not given.
IDS = "secret-ids.json"


def secret_id(value: str) -> str:
    """Return by what a random secret is known: nothing can be concluded from it."""
    return hashlib.sha256(b"launchdb secret id\0" + value.encode()).hexdigest()[:16]


def describe_secrets(folder: Path) -> dict[str, list[str]]:
    """Return by what each secret's valid values are known, newest first."""
    names = (*secretfiles.NAMES, secretfiles.CHOSEN, *secretfiles.LOGIN_FILES.values())
    known = {name: secretfiles.valid_values(folder, name) for name in names}
    return {name: [secret_id(value) for value in values] for name, values in known.items() if values}


def is_known(folder: Path, name: str) -> bool:
    """Return whether there is such a secret, be it that only its id was given to this process."""
    if (folder / name).exists():
        return True
    return (folder / IDS).exists() and name in json.loads(files.read(folder / IDS))


def valid_ids(folder: Path, name: str) -> list[str]:
    """Return by what a secret's valid values are known, also where its file was not given to this process."""
    if (folder / name).exists() or not (folder / IDS).exists():
        return [secret_id(value) for value in secretfiles.read(folder, name)]
    found: dict[str, list[str]] = json.loads(files.read(folder / IDS))
    if name not in found:
        raise Refused(f"the secret {name} is missing")
    return found[name]


def stage_value(folder: Path, name: str, rotation: str, value: str) -> None:
    """Lay a new value beside the one in force, unless this rotation has laid one before. Raises Refused."""
    path = _offer(folder, name, rotation)
    if not path.exists():
        hide_values(value)
        files.replace(path, value + "\n")


def staged_value(folder: Path, name: str, rotation: str) -> str | None:
    """Return the value that a rotation has laid beside the one in force."""
    path = _offer(folder, name, rotation)
    with files.translate_os_errors(path):
        return path.read_text().strip() if path.exists() else None


def discard_staged(folder: Path, name: str, rotation: str) -> None:
    """Remove what a rotation has laid beside the value in force."""
    with files.translate_os_errors(folder):
        _offer(folder, name, rotation).unlink(missing_ok=True)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Be the only one who changes the folder."""
    with files.locked(folder / LOCK):
        yield


def activate(folder: Path, dotenv: Path, name: str, value: str, *, keep_old: bool) -> None:
    """Put `value` in force, in the folder and in `.env`; twice is harmless.

    keep_old  the one before stays valid besides, until it is retired; else all that were before end at once

    Modes and owners stay. Raises Refused, and the old one stays in force, when a file cannot be written.
    """
    path = folder / name
    old = path.read_text().strip() if path.exists() else ""
    if old != value:
        if keep_old and old:
            # Before it is replaced: at no moment is there a reader for whom the old one has ended.
            previous = [old, *(other for other in secretfiles.previous(folder, name) if other != old)]
            _write(folder / f"{name}.previous", "".join(f"{other}\n" for other in previous), like=path)
        _write(path, value + "\n", like=path)
    if not keep_old:
        with files.translate_os_errors(path):
            (folder / f"{name}.previous").unlink(missing_ok=True)
    # What only our own parts tell each other stands in no `.env`.
    if dotenv.exists() and name not in secretfiles.OWN:
        _write(dotenv, secretfiles.with_lines(dotenv.read_text(), {name: value}), like=dotenv)


def retire(folder: Path, name: str, old_id: str) -> bool:
    """Revoke an old value; return whether it was still there. Raises Refused."""
    path = folder / f"{name}.previous"
    known = secretfiles.previous(folder, name)
    left = [value for value in known if secret_id(value) != old_id]
    with files.translate_os_errors(path):
        if left == known:
            return False
        if left:
            _write(path, "".join(f"{value}\n" for value in left), like=path)
        else:
            path.unlink()
    return True


def _offer(folder: Path, name: str, rotation: str) -> Path:
    if re.fullmatch(r"job_[0-9a-f]+", rotation) is None:
        raise ValueError("a rotation is known by its job")
    return folder / f".{name}.{rotation}"


def _write(path: Path, text: str, *, like: Path) -> None:
    if files.holds(path, text):
        return
    if like.exists():
        stat = like.stat()
        files.replace(path, text, mode=stat.st_mode & 0o777, owner=(stat.st_uid, stat.st_gid))
    else:
        files.replace(path, text)
