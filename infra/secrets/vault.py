"""Envelope encryption (AES-256-GCM): data keys wrapped by the master key, values sealed by data keys."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infra.errors import Refused
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.postgres.database import Transaction

SQL = statements(__file__)
NONCE_BYTES = 12
KEY_BYTES = 32
CANARY = b"launchdb"
SHORTEST_MASTER_KEY = 32  # characters: 24 random bytes in base64


@dataclass(frozen=True)
class DataKey:
    """A scope's data key as it is stored: wrapped, with the name of the master key that opens it."""

    scope: str
    wrapped: bytes = field(repr=False)
    master_key_id: str


class Vault:
    """Seals and opens secrets. Master keys are read when needed, so that a rotation restarts nothing.

    master_keys  returns the valid master keys, the newest first
    """

    def __init__(self, master_keys: Callable[[], list[str]]) -> None:
        self._master_keys = master_keys

    def loaded(self) -> Vault:
        """Return a vault of the master keys that are valid now, which reads nothing any more."""
        keys = self._master_keys()
        return Vault(lambda: keys)

    def check_master_key(self, tx: Transaction) -> None:
        """Raise Refused unless the master key opens what was sealed at the first start."""
        key_id, newest = next(iter(self._keys().items()))
        tx.execute(SQL.lay_canary, {"key": key_id, "sealed": _seal(newest, CANARY, _bound("canary", key_id))})
        row = tx.row(SQL.canary)
        if (
            row is None
            or _open(self._key(row["master_key_id"]), row["sealed"], _bound("canary", row["master_key_id"])) != CANARY
        ):
            raise Refused("the master key is not the one this installation began with")

    @property
    def newest(self) -> str:
        """Return by what the newest master key is known."""
        return next(iter(self._keys()))

    def reseal_canary(self, tx: Transaction) -> None:
        """Make the newest master key the one that this installation is known by. Raises Refused."""
        self.check_master_key(tx)
        key_id, newest = next(iter(self._keys().items()))
        tx.execute(SQL.reseal_canary, {"key": key_id, "sealed": _seal(newest, CANARY, _bound("canary", key_id))})

    def allow_master_key(self, tx: Transaction, key: str) -> None:
        """Allow data keys to be wrapped by this master key too, which is about to be in force. Raises Refused."""
        self.check_master_key(tx)
        tx.execute(SQL.expect, {"key": master_key_id(key)})

    def disallow_master_key(self, tx: Transaction, key: str) -> None:
        """Forbid data keys to be wrapped by a master key that did not come into force."""
        tx.execute(SQL.expect_none, {"key": master_key_id(key)})

    def rewrap(self, key: DataKey) -> DataKey:
        """Return the same data key, wrapped by the newest master key. Raises Refused."""
        key_id, master = next(iter(self._keys().items()))
        return DataKey(key.scope, _seal(master, self._unwrap(key), _bound("data key", key.scope, key_id)), key_id)

    def new_data_key(self, scope: str) -> DataKey:
        """Make a data key for a scope, wrapped by the newest master key."""
        key_id, master = next(iter(self._keys().items()))
        wrapped = _seal(master, secrets.token_bytes(KEY_BYTES), _bound("data key", scope, key_id))
        return DataKey(scope, wrapped, key_id)

    def seal(self, key: DataKey, name: str, version: int, value: str) -> bytes:
        """Return nonce, ciphertext and tag of a value that only opens under this scope, name and version."""
        return _seal(self._unwrap(key), value.encode(), _bound(key.scope, name, version))

    def open(self, key: DataKey, name: str, version: int, sealed: bytes) -> str:
        """Return the value. Raises Refused when it was sealed for another place or has been changed."""
        return _open(self._unwrap(key), sealed, _bound(key.scope, name, version)).decode()

    def _unwrap(self, key: DataKey) -> bytes:
        return _open(self._key(key.master_key_id), key.wrapped, _bound("data key", key.scope, key.master_key_id))

    def _key(self, key_id: str) -> bytes:
        try:
            return self._keys()[key_id]
        except KeyError:
            raise Refused(f"the master key {key_id} is not among the secrets") from None

    def _keys(self) -> dict[str, bytes]:
        texts = self._master_keys()
        if not texts or any(len(text) < SHORTEST_MASTER_KEY for text in texts):
            raise Refused("LAUNCHDB_MASTER_KEY is missing or too short")
        return {master_key_id(text): _derive(text, b"launchdb master key") for text in texts}


def master_key_id(text: str) -> str:
    """Return by what a master key is known: nothing can be concluded from it."""
    return _derive(text, b"launchdb master key id").hex()[:16]


def derive_key(key: str, purpose: bytes) -> bytes:
    """Return 32 bytes made of a random key for one purpose alone."""
    return _derive(key, purpose)


def seal_by(key: str, purpose: bytes, plain: bytes) -> bytes:
    """Seal bytes by a random key that is not the master key, for one purpose."""
    return _seal(_derive(key, purpose), plain, purpose)


def open_by(key: str, purpose: bytes, sealed: bytes) -> bytes:
    """Return what `seal_by` sealed. Raises Refused when it does not open."""
    return _open(_derive(key, purpose), sealed, purpose)


@lru_cache(maxsize=16)  # a few keys, a few purposes, and room for rotations
def _derive(text: str, purpose: bytes) -> bytes:
    # The key is random already: this makes 32 bytes of it whatever its encoding, and its public id something else.
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose).derive(text.encode())


def _bound(*parts: Any) -> bytes:
    return json.dumps(parts).encode()


def _seal(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _open(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise Refused("a sealed secret does not open: it was changed, moved, or belongs to another key") from error
