"""The keys that sign a project's users' tokens, where that is not its JWT secret: each in one of four states.

They are versions of one secret. Standby: stored, and already verified everywhere. In use: it signs. Previous: it signs
nothing more, and what it signed is good. Revoked: nothing that it signed is good; it is forgotten with the next change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from catalog import names, secrets
from infra.errors import Refused
from infra.secrets import signing_keys

if TYPE_CHECKING:
    from catalog.secrets import ScopeSecrets
    from infra.postgres.database import Transaction
    from infra.secrets.signing_keys import Algorithm
    from infra.secrets.vault import Vault

State = Literal["standby", "in_use", "previous", "revoked"]
DEFAULT_ALGORITHM: Algorithm = "ES256"


class NoSuchSigningKey(Exception):
    """The project has no signing key of this id."""


class SigningKeyInUse(Exception):
    """The key signs tokens now: another has to take its place before it can be revoked."""


@dataclass(frozen=True)
class ProjectSigningKey:
    """What anybody may know of one key. number: its version among the project's secrets; public: None of HS256."""

    id: str
    algorithm: str
    state: State
    created_at: datetime
    ends_at: datetime | None
    public: dict[str, Any] | None
    number: int = field(repr=False)


def keys_of(known: ScopeSecrets) -> list[ProjectSigningKey]:
    """Return a project's signing keys, the newest first."""
    versions = known.versions.get(names.SIGNING_KEY, [])
    in_use = next((version.number for version in versions if not version.coming), None)
    found = []
    for version in versions:
        key = signing_keys.read_jwk(version.value)
        if key is None:
            raise Refused("a signing key of the project is no JWK")
        state: State
        if version.coming:
            state = "standby"
        elif version.number == in_use:
            state = "in_use"
        else:
            ended = version.expires_at is not None and version.expires_at <= datetime.now(UTC)
            state = "revoked" if ended else "previous"
        shown = signing_keys.public_jwk(key)
        of = (str(key["kid"]), str(key["alg"]), state, version.created_at, version.expires_at, shown, version.number)
        found.append(ProjectSigningKey(*of))
    return found


def ensure_standby(tx: Transaction, vault: Vault, project: str, algorithm: Algorithm | None) -> None:
    """Ensure that a key stands by: one of this algorithm, or whichever does; one of another kind is forgotten.

    algorithm  None: any that stands by already, or a new one of the default
    """
    known = secrets.read_all(tx, vault, project)
    for key in keys_of(known):
        if key.state != "standby":
            continue
        if algorithm in (None, key.algorithm):
            return
        secrets.delete_version(tx, project, names.SIGNING_KEY, key.number)  # it has signed nothing yet
    made = signing_keys.make_signing_key(algorithm or DEFAULT_ALGORITHM)
    secrets.put(tx, vault, project, names.SIGNING_KEY, made, coming=True)


def revoke(tx: Transaction, vault: Vault, project: str, key_id: str) -> ProjectSigningKey:
    """Revoke a key: nothing that it has signed is good any more; one that stands by is forgotten.

    Raises NoSuchSigningKey, SigningKeyInUse.
    """
    found = {key.id: key for key in keys_of(secrets.read_all(tx, vault, project))}.get(key_id)
    if found is None:
        raise NoSuchSigningKey("there is no such signing key")
    if found.state == "in_use":
        raise SigningKeyInUse("the key signs tokens; rotate the signing keys first")
    if found.state == "standby":
        secrets.delete_version(tx, project, names.SIGNING_KEY, found.number)
    else:
        secrets.expire(tx, project, names.SIGNING_KEY, found.number)
    return found
