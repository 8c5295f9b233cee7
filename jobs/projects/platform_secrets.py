"""Which secrets of the platform are rotated, where each lies, and how its old value ends."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from catalog import job_secrets
from catalog import platform_secrets as catalogue
from infra.backup import keys
from infra.secrets import master_keys, secret_changes, secretfiles
from infra.secrets.services import LOGINS

if TYPE_CHECKING:
    from pathlib import Path

    from catalog.platform_secrets import SecretCopy
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault

DAY = 24 * 3600
INTERNAL_KEY, JWT_SECRET, SMTP_PASSWORD = "internalApiKey", "platformJwtSecret", "smtpPassword"
BACKUP_KEY, MASTER_KEY = "backupEncryptionKey", "masterKey"


@dataclass(frozen=True)
class RotatableSecret:
    """A secret as it is rotated.

    file     its name in the secrets folder
    grace    how long the old value is good besides unless it is said otherwise, in seconds; None: it has no such time
    least    the least such time: what has read a row may still be about to open it
    login    the service's login on Postgres whose password it is
    """

    file: str
    grace: int | None = None
    least: int = 0
    login: str = ""


ALL = {
    INTERNAL_KEY: RotatableSecret("INTERNAL_API_KEY", grace=DAY),
    JWT_SECRET: RotatableSecret("PLATFORM_JWT_SECRET", grace=DAY),
    MASTER_KEY: RotatableSecret(master_keys.NAME, grace=60, least=30),
    BACKUP_KEY: RotatableSecret(keys.NAME),
    SMTP_PASSWORD: RotatableSecret(secretfiles.CHOSEN),
    # A login has one password: the old one ends with the new one's first moment.
    **{
        f"{login.removeprefix('launchdb_')}DatabasePassword": RotatableSecret(file, login=login)
        for login, file in LOGINS.items()
    },
}


def seconds_of_grace(secret: str, asked: int | None) -> int:
    """Return how long the old value of a secret is good besides: as asked, where it may be so."""
    rotated = ALL[secret]
    if rotated.grace is None:
        return 0
    return max(rotated.least, rotated.grace if asked is None else asked)


@dataclass(frozen=True)
class ChosenPassword:
    """A password that people chose, and where a mail goes that proves it."""

    password: str = field(repr=False)
    to: str


def keep_chosen(tx: Transaction, vault: Vault, chosen: ChosenPassword) -> str:
    """Seal what was chosen for the job that puts it in force; return by what it is found."""
    return job_secrets.store(tx, vault, json.dumps({"password": chosen.password, "to": chosen.to}))


def read_chosen(tx: Transaction, vault: Vault, name: str) -> ChosenPassword:
    """Return what was chosen. Raises SecretMissing once it is forgotten."""
    return ChosenPassword(**json.loads(job_secrets.read(tx, vault, name)))


# Without these two, no backup opens: a copy of them belongs somewhere else.
COPIED = (MASTER_KEY, BACKUP_KEY)
# The job that retires an old value is given so long; it is gone when the platform was restored from a backup.
OVERDUE = timedelta(hours=1)


@dataclass(frozen=True)
class SecretStatus:
    """What is known of a secret, but for its value. overdue: an earlier value is still good though its time is over."""

    secret: str
    file: str
    rotated_at: datetime | None
    old_good_until: datetime | None
    copy: SecretCopy | None
    copy_needed: bool
    overdue: bool


def secret_statuses(tx: Transaction, folder: Path) -> list[SecretStatus]:
    """Return how each secret stands that is rotated. Raises Refused when one is missing."""
    rotations, copies, found = catalogue.newest(tx), catalogue.copies(tx), []
    for name, rotated in ALL.items():
        if name == SMTP_PASSWORD and not (folder / rotated.file).exists():
            continue
        if rotated.login and not secret_changes.is_known(folder, rotated.file):
            continue
        value, *earlier = secret_changes.valid_ids(folder, rotated.file)
        last, copy = rotations.get(name), copies.get(name)
        kept = copy if copy is not None and copy.value_id == value else None
        until = last.good_until if last is not None and last.retired_at is None else None
        at = None if last is None else last.in_force_at
        late = until is None or until < datetime.now(UTC) - OVERDUE
        overdue = late and bool(earlier)
        found.append(SecretStatus(name, rotated.file, at, until, kept, name in COPIED and kept is None, overdue))
    return found


def acknowledge_copies(tx: Transaction, folder: Path, *, by: str) -> None:
    """Write down that copies of the keys that no backup opens without lie off this machine. Raises Refused."""
    for name in COPIED:
        value = secret_changes.secret_id(secretfiles.current(folder, ALL[name].file))
        catalogue.acknowledge(tx, name, value, by=by)
