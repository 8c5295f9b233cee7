"""What a job is handed that must not stand in its arguments: sealed until it has ended."""

from __future__ import annotations

import secrets as randomness
from typing import TYPE_CHECKING

from catalog import secrets

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault

PREFIX = "job "


def store(tx: Transaction, vault: Vault, value: str) -> str:
    """Seal a value for a job; return by what it is found."""
    name = f"{PREFIX}{randomness.token_hex(8)}"
    secrets.put(tx, vault, secrets.PLATFORM, name, value)
    return name


def read(tx: Transaction, vault: Vault, name: str) -> str:
    """Return the value. Raises SecretMissing once it is forgotten."""
    return secrets.read(tx, vault, secrets.PLATFORM, name)


def delete(tx: Transaction, name: str) -> None:
    """Forget the value. name: empty where there was none."""
    if name:
        secrets.delete(tx, secrets.PLATFORM, name)
