"""Secrets at rest: sealed rows of a scope (a project id, or 'platform'), readable with the vault's master key only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.errors import Unavailable
from infra.postgres.sql import statements
from infra.secrets.vault import DataKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault

SQL = statements(__file__)
PLATFORM = "platform"
LOOKS = 5


class SecretMissing(Exception):
    """There is no secret of this name in this scope."""


@dataclass(frozen=True)
class SecretInfo:
    """What may be shown of a secret: everything but its value."""

    name: str
    version: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True)
class SecretVersion:
    """One version of a secret. coming: not in force yet; expires_at: until when an earlier one is good."""

    number: int
    value: str = field(repr=False)
    coming: bool
    expires_at: datetime | None
    created_at: datetime


class ScopeSecrets(dict[str, str]):
    """The secrets of a scope that are in force, by name. versions: all that were not forgotten, the newest first."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, list[SecretVersion]] = {}

    def wanted(self, name: str) -> str:
        """Return the value that is to be in force: the one that is coming, if there is one. Raises KeyError."""
        newest = self.versions[name][0]
        return newest.value if newest.coming else self[name]


def put(tx: Transaction, vault: Vault, scope: str, name: str, value: str, *, coming: bool = False) -> int:
    """Store a new version of a secret; return its number. Earlier versions stay readable until they are retired.

    coming  it is not in force before `enforce` says so
    """
    key = _data_key(tx, vault, scope)
    version = int(tx.value(SQL.next_version, {"scope": scope, "name": name}))
    _store(tx, vault, key, version, {name: value}, coming=coming)
    return version


def activate(tx: Transaction, scope: str, names: Sequence[str], *, keep_seconds: float | None) -> datetime | None:
    """Put the versions that are coming in force; those before them are good for `keep_seconds` more.

    keep_seconds  None: without an end

    Returns until when the last of those is good; None when there are none, or they have no end.
    """
    rows = tx.rows(SQL.enforce, {"scope": scope, "names": list(names), "seconds": keep_seconds})
    return max((row["expires_at"] for row in rows if row["expires_at"] is not None), default=None)


def expire(tx: Transaction, scope: str, name: str, number: int) -> int:
    """End one version of a secret from now on; return how many were good."""
    return tx.execute(SQL.expire, {"scope": scope, "name": name, "version": number})


def delete_version(tx: Transaction, scope: str, name: str, number: int) -> int:
    """Forget one version of a secret; return how many there were."""
    return tx.execute(SQL.forget_version, {"scope": scope, "name": name, "version": number})


def delete_expired(tx: Transaction, scope: str) -> int:
    """Forget the versions whose time is over; return how many there were."""
    return tx.execute(SQL.forget_expired, {"scope": scope})


def read(tx: Transaction, vault: Vault, scope: str, name: str) -> str:
    """Return the version of a secret that is in force. Raises SecretMissing; Refused when it does not open."""
    row = tx.row(SQL.newest, {"scope": scope, "name": name})
    if row is None:
        raise SecretMissing(f"{scope} has no secret {name}")
    return _open(vault, scope, row)


def read_all(tx: Transaction, vault: Vault, scope: str) -> ScopeSecrets:
    """Return the secrets of a scope. Raises Refused when one does not open."""
    return read_scopes(tx, vault, [scope])[scope]


def read_scopes(tx: Transaction, vault: Vault, scopes: list[str]) -> dict[str, ScopeSecrets]:
    """Return what `read_all` returns, for many scopes in one query. Raises Refused when one does not open."""
    known = {scope: ScopeSecrets() for scope in scopes}
    for row in tx.rows(SQL.all, {"scopes": scopes}):
        value, of = _open(vault, row["scope"], row), known[row["scope"]]
        of.versions.setdefault(row["name"], []).append(
            SecretVersion(row["version"], value, row["coming"], row["expires_at"], row["created_at"])
        )
        if not row["coming"]:
            of.setdefault(row["name"], value)
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
    known: dict[str, str] = read_all(tx, vault, scope)
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


def list_info(tx: Transaction, scope: str) -> list[SecretInfo]:
    """List the secrets of a scope, without their values."""
    return tx.all(SecretInfo, SQL.list, {"scope": scope})


def delete(tx: Transaction, scope: str, name: str) -> int:
    """Forget every version of one secret; return how many there were."""
    return tx.execute(SQL.forget, {"scope": scope, "name": name})


def delete_all(tx: Transaction, scope: str) -> None:
    """Forget a scope: its data key and with it, for good, every secret, copies in old dumps included."""
    tx.execute(SQL.delete_all, {"scope": scope})


def scopes(tx: Transaction) -> list[str]:
    """List the scopes that hold secrets."""
    return [row["scope"] for row in tx.rows(SQL.scopes)]


def rewrap_some(tx: Transaction, vault: Vault, *, limit: int) -> int:
    """Wrap some of the data keys by the newest master key that are not yet; return how many. Raises Refused."""
    newest = vault.newest
    found = tx.all(DataKey, SQL.wrapped_by_others, {"key": newest, "limit": limit})
    wrapped = [vault.rewrap(key) for key in found]
    scopes_ = [key.scope for key in wrapped]
    tx.execute(SQL.rewrap, {"key": newest, "scopes": scopes_, "wrapped": [key.wrapped for key in wrapped]})
    return len(wrapped)


def wrapped_by_others(tx: Transaction, vault: Vault) -> int:
    """Return how many data keys need another master key than the newest one."""
    return int(tx.value(SQL.count_wrapped_by_others, {"key": vault.newest}))


def wrapped_by(tx: Transaction, key: str) -> int:
    """Return how many data keys need this master key. key: by what it is known."""
    return int(tx.value(SQL.count_wrapped_by, {"key": key}))


def _data_key(tx: Transaction, vault: Vault, scope: str) -> DataKey:
    for _look in range(LOOKS):
        key = tx.one(DataKey, SQL.data_key, {"scope": scope})
        if key is not None:
            return key
        made = vault.new_data_key(scope)
        values = {"scope": scope, "wrapped": made.wrapped, "key": made.master_key_id}
        if tx.execute(SQL.keep_data_key, values) == 1:
            return made
        # Somebody else was quicker, or the master key was rotated between our look at it and now.
    raise Unavailable("the master key is being rotated")


def _store(
    tx: Transaction, vault: Vault, key: DataKey, version: int, values: Mapping[str, str], *, coming: bool = False
) -> int:
    sealed = [vault.seal(key, name, version, value) for name, value in values.items()]
    stored = {"scope": key.scope, "version": version, "names": list(values), "sealed": sealed, "coming": coming}
    return tx.execute(SQL.store, stored)


def _open(vault: Vault, scope: str, row: dict[str, Any]) -> str:
    key = DataKey(scope, row["wrapped"], row["master_key_id"])
    return vault.open(key, row["name"], row["version"], row["sealed"])
