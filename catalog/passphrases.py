"""Passphrases of exports: sealed until the job that needs one has ended."""

from __future__ import annotations

import secrets as randomness
from typing import TYPE_CHECKING

from catalog import secrets

if TYPE_CHECKING:
    from infra.database import Transaction
    from infra.vault import Vault

RANDOM_BYTES = 24


def generate() -> str:
    """Make a passphrase."""
    return randomness.token_urlsafe(RANDOM_BYTES)


def keep(tx: Transaction, vault: Vault, passphrase: str) -> str:
    """Seal a passphrase for a job; return by what it is found."""
    name = f"passphrase {randomness.token_hex(8)}"
    secrets.put(tx, vault, secrets.PLATFORM, name, passphrase)
    return name


def read(tx: Transaction, vault: Vault, name: str) -> str:
    """Return a passphrase. Raises SecretMissing once it is forgotten."""
    return secrets.read(tx, vault, secrets.PLATFORM, name)


def forget(tx: Transaction, name: str) -> None:
    """Forget a passphrase."""
    secrets.forget(tx, secrets.PLATFORM, name)
