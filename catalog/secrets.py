"""Secrets at rest: sealed rows of a scope (a project id, or 'platform'), readable with the vault's master key only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.sql import statements
from infra.vault import DataKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from infra.database import Transaction
    from infra.vault import Vault

SQL = statements(__file__)
PLATFORM = "platform"


class SecretMissing(Exception):
    """There is no secret of this name in this scope."""


@dataclass(frozen=True)
class Kept:
    """What may be shown of a secret: everything but its value."""

    name: str
    version: int
    created_at: datetime
    expires_at: datetime | None


def put(tx: Transaction, vault: Vault, scope: str, name: str, value: str) -> int:
    """Store a new version of a secret; return its number. Earlier versions stay readable until they are retired."""
    key = _data_key(tx, vault, scope)
    version = int(tx.value(SQL.next_version, {"scope": scope, "name": name}))
    _store(tx, vault, key, version, {name: value})
    return version


def read(tx: Transaction, vault: Vault, scope: str, name: str) -> str:
    """Return the newest version of a secret. Raises SecretMissing; Refused when it does not open."""
    row = tx.row(SQL.newest, {"scope": scope, "name": name})
    if row is None:
        raise SecretMissing(f"{scope} has no secret {name}")
    return _open(vault, scope, row)


def read_all(tx: Transaction, vault: Vault, scope: str) -> dict[str, str]:
    """Return the newest version of each secret of a scope. Raises Refused when one does not open."""
    return {row["name"]: _open(vault, scope, row) for row in tx.rows(SQL.newest, {"scope": scope, "name": None})}


def read_scopes(tx: Transaction, vault: Vault, scopes: list[str]) -> dict[str, dict[str, str]]:
    """Return what `read_all` returns, for many scopes in one query. Raises Refused when one does not open."""
    known: dict[str, dict[str, str]] = {scope: {} for scope in scopes}
    for row in tx.rows(SQL.newest_of, {"scopes": scopes}):
        known[row["scope"]][row["name"]] = _open(vault, row["scope"], row)
    return known


def valid(tx: Transaction, vault: Vault, scope: str, name: str) -> list[str]:
    """Return every version of a secret that is still good, the newest first: two of them while it is rotated."""
    return [_open(vault, scope, row) for row in tx.rows(SQL.valid, {"scope": scope, "name": name})]


def store_once(
    tx: Transaction, vault: Vault, scope: str, makers: Mapping[str, Callable[[dict[str, str]], str]]
) -> dict[str, str]:
    """Make and store those secrets that are not there yet; return all of them, the same ones each time.

    makers  by name, in an order in which each may use the ones before it: called with what is known so far
    """
    known = read_all(tx, vault, scope)
    made: dict[str, str] = {}
    for name, make in makers.items():
        if name not in known:
            known[name] = made[name] = make(known)
    if not made:
        return known
    if _store(tx, vault, _data_key(tx, vault, scope), 1, made) != len(made):
        return read_all(tx, vault, scope)  # somebody else was quicker with some: theirs count
    return known


def seal(tx: Transaction, vault: Vault, scope: str, name: str, value: str) -> bytes:
    """Seal a value that is kept elsewhere; it opens only in this scope and under this name."""
    return vault.seal(_data_key(tx, vault, scope), name, 1, value)


def unseal(tx: Transaction, vault: Vault, scope: str, name: str, sealed: bytes) -> str:
    """Open what `seal` sealed. Raises SecretMissing once the scope is forgotten; Refused when it does not open."""
    key = tx.one(DataKey, SQL.data_key, {"scope": scope})
    if key is None:
        raise SecretMissing(f"{scope} has no secrets")
    return vault.open(key, name, 1, sealed)


def listing(tx: Transaction, scope: str) -> list[Kept]:
    """List the secrets of a scope, without their values."""
    return tx.all(Kept, SQL.list, {"scope": scope})


def forget(tx: Transaction, scope: str, name: str) -> int:
    """Forget every version of one secret; return how many there were."""
    return tx.execute(SQL.forget, {"scope": scope, "name": name})


def delete_all(tx: Transaction, scope: str) -> None:
    """Forget a scope: its data key and with it, for good, every secret, copies in old dumps included."""
    tx.execute(SQL.delete_all, {"scope": scope})


def scopes(tx: Transaction) -> list[str]:
    """List the scopes that hold secrets."""
    return [row["scope"] for row in tx.rows(SQL.scopes)]


def _data_key(tx: Transaction, vault: Vault, scope: str) -> DataKey:
    key = tx.one(DataKey, SQL.data_key, {"scope": scope})
    if key is not None:
        return key
    made = vault.new_data_key(scope)
    values = {"scope": scope, "wrapped": made.wrapped, "key": made.master_key_id}
    if tx.execute(SQL.keep_data_key, values) == 1:
        return made
    return _data_key(tx, vault, scope)


def _store(tx: Transaction, vault: Vault, key: DataKey, version: int, values: Mapping[str, str]) -> int:
    sealed = [vault.seal(key, name, version, value) for name, value in values.items()]
    return tx.execute(SQL.store, {"scope": key.scope, "version": version, "names": list(values), "sealed": sealed})


def _open(vault: Vault, scope: str, row: dict[str, Any]) -> str:
    key = DataKey(scope, row["wrapped"], row["master_key_id"])
    return vault.open(key, row["name"], row["version"], row["sealed"])
