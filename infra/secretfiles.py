"""The platform's own secrets: one file each in a folder that services re-read, and `.env` with the guide's names."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from config.logging import hide
from infra import files
from infra.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD, KEY, HEX = "password", "key", "hex"
NAMES = {
    "POSTGRES_SUPERUSER_PASSWORD": PASSWORD,
    "AUTHENTICATOR_PASSWORD": PASSWORD,
    "LAUNCHDB_MASTER_KEY": KEY,
    "PLATFORM_JWT_SECRET": KEY,
    "POSTGREST_JWT_SECRET": KEY,
    "BACKUP_ENCRYPTION_KEY": KEY,
    "INTERNAL_API_KEY": HEX,
    "POSTGREST_ADMIN_KEY": HEX,
}
SHORTEST = 24
EXAMPLES = ("change", "example", "secret", "password", "your")
# What was read, with the file's identity: a rotation replaces the file, so another inode or time tells.
_read: dict[Path, tuple[tuple[int, int, int], str]] = {}


def generate(form: str) -> str:
    """Make a secret: a password of 24 random bytes, a key of 32, both base64; or 32 bytes as hexadecimal digits."""
    if form == HEX:
        return secrets.token_hex(32)
    return base64.b64encode(secrets.token_bytes(24 if form == PASSWORD else 32)).decode()


def ensure(folder: Path, dotenv: Path) -> None:
    """Let every secret be there; one that is there is never overwritten. `.env` repeats them, 0600.

    Raises Refused for secrets that are gone, weak, equal, examples, or readable by others.
    """
    files.folder(folder, mode=0o700)
    missing = [name for name in NAMES if not (folder / name).exists()]
    _refuse_lost(missing, folder, dotenv)
    for name in missing:
        files.replace(folder / name, generate(NAMES[name]) + "\n")
    check(folder)
    text = "".join(f"{name}={current(folder, name)}\n" for name in NAMES)
    if not files.holds(dotenv, text):
        files.replace(dotenv, text)


def _refuse_lost(missing: list[str], folder: Path, dotenv: Path) -> None:
    # `.env` is written last: what it names was there once, and another value opens nothing of what the first sealed.
    try:
        known = {line.partition("=")[0] for line in dotenv.read_text().splitlines()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.fault(error, str(dotenv)) from error
    lost = [name for name in missing if name in known]
    if lost:
        raise Refused(f"{', '.join(lost)} is gone from {folder}; put it back: its last value stands in {dotenv}")


def check(folder: Path) -> None:
    """Raise Refused, naming them, for secrets nobody should start with."""
    faults = [f"{folder} can be read by others"] if folder.stat().st_mode & 0o077 else []
    seen: dict[str, str] = {}
    for name in NAMES:
        value, mode = current(folder, name), (folder / name).stat().st_mode
        if mode & 0o077:
            faults.append(f"{name} can be read by others")
        if len(value) < SHORTEST or len(set(value)) < SHORTEST // 3 or value.lower().startswith(EXAMPLES):
            faults.append(f"{name} is weak or an example")
        if value in seen:
            faults.append(f"{name} equals {seen[value]}")
        seen[value] = name
    if faults:
        raise Refused("secrets are not fit for use: " + "; ".join(faults))


def read(folder: Path, name: str) -> list[str]:
    """Return the secret's valid values, newest first: the current one, and the previous one during a rotation.

    A file is read again once it has changed. Raises Refused when there is none.
    """
    found = [value for path in (folder / name, folder / f"{name}.previous") if (value := _value(path))]
    if not found:
        raise Refused(f"the secret {name} is missing from {folder}")
    return found


def current(folder: Path, name: str) -> str:
    """Return the secret's newest value. Raises Refused when there is none."""
    return read(folder, name)[0]


def _value(path: Path) -> str:
    try:
        stat = path.stat()
        identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        known = _read.get(path)
        if known is None or known[0] != identity:
            known = (identity, path.read_text().strip())
            hide(known[1])
            _read[path] = known
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise files.fault(error, str(path)) from error
    return known[1]
