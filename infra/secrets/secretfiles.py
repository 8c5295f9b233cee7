"""The platform's own secrets: one file each in a folder that services re-read, and `.env` with the guide's names."""

from __future__ import annotations

import base64
import math
import os
import re
import secrets
from typing import TYPE_CHECKING

from config.logging import hide_values
from infra import files
from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Collection
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
# Of use between our own parts alone: they stand in no `.env`, and where one is lost another is made.
# A login of its own on Postgres for each service; which, and what it may: infra/secrets/services.py.
LOGIN_FILES = {
    name: f"{name}_DATABASE_PASSWORD" for name in ("API", "WORKER", "SCHEDULER", "AUTH", "STORAGE", "MANAGER", "BACKUP")
}
OWN = {
    "POOLER_ADMIN_PASSWORD": PASSWORD,
    "POOLER_AUTH_PASSWORD": PASSWORD,
    **dict.fromkeys(LOGIN_FILES.values(), PASSWORD),
}
# Written by people, if at all: a password of the mail server's is as the server's people made it.
CHOSEN = "SMTP_PASSWORD"
# What an object store that keeps files has given for our key; there is none where a folder does.
STORE_SECRET = "FILES_S3_SECRET_KEY"  # noqa: S105 - the name of a secret
ENOUGH_BITS = 128  # OWASP ASVS 5.0, 11.5.1: at least 128 bits of chance
FEWEST_DIFFERENT = 8
EXAMPLES = ("change", "example", "secret", "password", "your")
# What was read, with the file's identity: a rotation replaces the file, so another inode or time tells.
_read: dict[Path, tuple[tuple[int, int, int], str]] = {}


def generate(form: str) -> str:
    """Make a secret: a password of 24 random bytes, a key of 32, both base64; or 32 bytes as hexadecimal digits."""
    if form == HEX:
        return secrets.token_hex(32)
    return base64.b64encode(secrets.token_bytes(24 if form == PASSWORD else 32)).decode()


def ensure(folder: Path, dotenv: Path) -> None:
    """Ensure that every secret exists; one that is there is never overwritten. `.env` repeats them, 0600.

    Raises Refused for secrets that are gone, weak, equal, examples, or readable by others.
    """
    files.ensure_folder(folder, mode=0o700)
    missing = [name for name in NAMES if not (folder / name).exists()]
    _refuse_lost(missing, folder, dotenv)
    for name in missing:
        files.replace(folder / name, generate(NAMES[name]) + "\n")
    check(folder)
    _repeat(folder, dotenv)


def ensure_own(folder: Path, *, owner: tuple[int, int] | None = None) -> None:
    """Ensure that the secrets exist that only our own parts tell each other; one that is there is never overwritten."""
    files.ensure_folder(folder, mode=0o700)
    if all((folder / name).exists() for name in OWN):
        return  # whoever was only given them may not write here
    with files.locked(folder / ".own.lock"):
        for name, form in OWN.items():
            if not (folder / name).exists():
                files.replace(folder / name, generate(form) + "\n", owner=owner)
        if owner is not None:
            os.chown(folder / ".own.lock", *owner)


def _repeat(folder: Path, dotenv: Path) -> None:
    """Ensure that `.env` names what is in force; whatever else it says stays as it is."""
    with files.translate_os_errors(dotenv):
        before = dotenv.read_text() if dotenv.exists() else ""
        if before and dotenv.stat().st_mode & 0o077:
            raise Refused(f"{dotenv} can be read by others; let its mode be 0600")
    after = with_lines(before, {name: current(folder, name) for name in NAMES})
    if after != before:
        files.replace(dotenv, after)


def with_lines(text: str, values: dict[str, str]) -> str:
    """Return the text of a `.env` in which each name has its value; the other lines stay."""
    lines = text.splitlines()
    for name, value in values.items():
        places = [at for at, line in enumerate(lines) if re.match(rf"\s*{re.escape(name)}\s*=", line)]
        if not places:
            lines.append(f"{name}={value}")
        for at in places:
            lines[at] = f"{name}={value}"
    return "".join(f"{line}\n" for line in lines)


def _refuse_lost(missing: list[str], folder: Path, dotenv: Path) -> None:
    # `.env` is written last: what it names was there once, and another value opens nothing of what the first sealed.
    try:
        known = {line.partition("=")[0] for line in dotenv.read_text().splitlines()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.os_error_text(error, str(dotenv)) from error
    lost = [name for name in missing if name in known]
    if lost:
        raise Refused(f"{', '.join(lost)} is gone from {folder}; put it back: its last value stands in {dotenv}")


def check(folder: Path, names: Collection[str] = tuple(NAMES)) -> None:
    """Raise Refused, naming them, for secrets nobody should start with."""
    if found := weaknesses(folder, names):
        raise Refused("secrets are not fit for use: " + "; ".join(found))


def weaknesses(folder: Path, names: Collection[str] = tuple(NAMES)) -> list[str]:
    """Return what is wrong with the secrets, naming them, without their values. Raises Refused when one is missing.

    names  those that this process is given; all of them where it is not said
    """
    found = [f"{folder} can be read by others"] if folder.stat().st_mode & 0o077 else []
    seen: dict[str, str] = {}
    for name in names:
        value = current(folder, name)
        found += [f"{path.name} can be read by others" for path in _files(folder, name) if path.stat().st_mode & 0o077]
        if value.lower().startswith(EXAMPLES) or entropy_bits(value) < ENOUGH_BITS:
            found.append(f"{name} is weak or an example")
        if value in seen:
            found.append(f"{name} equals {seen[value]}")
        seen[value] = name
    return found


def _files(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / name, folder / f"{name}.previous") if path.exists()]


def entropy_bits(value: str) -> float:
    """Return how many bits of chance a secret can hold at most: of as many characters as it may be made of.

    A few characters over and over count as often as there are different ones.
    """
    if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", value):
        alphabet = 16
    else:
        alphabet = 64 if re.fullmatch(r"[A-Za-z0-9+/_=-]+", value) else 95
    worth = min(len(value), 4 * len(set(value)))
    return worth * math.log2(alphabet) if len(set(value)) >= FEWEST_DIFFERENT else 0.0


def read(folder: Path, name: str) -> list[str]:
    """Return the secret's valid values, newest first: the current one, and the previous ones during a rotation.

    A file is read again once it has changed. Raises Refused when there is none.
    """
    if found := valid_values(folder, name):
        return found
    raise Refused(f"the secret {name} is missing from {folder}")


def valid_values(folder: Path, name: str) -> list[str]:
    """Return the same; nothing when there is none."""
    now = _value(folder / name)
    return [*filter(None, [now]), *(value for value in previous(folder, name) if value != now)]


def previous(folder: Path, name: str) -> list[str]:
    """Return the values that are good besides the one in force, newest first."""
    return [line.strip() for line in _value(folder / f"{name}.previous").splitlines() if line.strip()]


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
            for line in known[1].splitlines():
                hide_values(line.strip())
            _read[path] = known
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise files.os_error_text(error, str(path)) from error
    return known[1]
