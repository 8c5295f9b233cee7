"""A project's S3 access keys, of which each is made and revoked alone: kept sealed among the project's secrets.

Unlike an API key, one is needed as it is to prove a signature: no hash would do.
"""

from __future__ import annotations

import json
import re
import secrets as randomness
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog import names, secrets
from jobs.projects import api_keys

if TYPE_CHECKING:
    from datetime import datetime

    from catalog.secrets import ScopeSecrets
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault

PREFIX, ID_BYTES, SECRET_BYTES = "s3_key:", 16, 32
MOST = 50
_ID, _SECRET = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")


class NoSuchAccessKey(Exception):
    """The project has no access key of this id."""


class TooManyAccessKeys(Exception):
    """The project has as many access keys as it may have."""


@dataclass(frozen=True)
class AccessKey:
    """One key as it may be shown: everything but its secret."""

    id: str
    name: str
    created_at: datetime


def keys_of(known: ScopeSecrets) -> list[AccessKey]:
    """Return a project's access keys, the oldest first."""
    found = [
        AccessKey(name.removeprefix(PREFIX), json.loads(versions[0].value)["name"], versions[0].created_at)
        for name, versions in known.versions.items()
        if name.startswith(PREFIX)
    ]
    return sorted(found, key=lambda key: (key.created_at, key.id))


def make(tx: Transaction, vault: Vault, project: str, *, name: str) -> tuple[AccessKey, str]:
    """Store a new key; return it with its secret, which is shown this one time. Raises TooManyAccessKeys."""
    if len(keys_of(secrets.read_all(tx, vault, project))) >= MOST:
        raise TooManyAccessKeys(f"a project has at most {MOST} access keys; revoke one first")
    key_id, secret = randomness.token_hex(ID_BYTES), randomness.token_hex(SECRET_BYTES)
    secrets.put(tx, vault, project, PREFIX + key_id, json.dumps({"name": name, "secret": secret}))
    made = {key.id: key for key in keys_of(secrets.read_all(tx, vault, project))}[key_id]
    return made, secret


def revoke(tx: Transaction, project: str, key_id: str) -> None:
    """Forget a key: nothing that it signs is good once Storage is told. Raises NoSuchAccessKey."""
    if not secrets.delete(tx, project, PREFIX + key_id):
        raise NoSuchAccessKey("there is no such access key")


def is_stored_key(name: str, text: str) -> bool:
    """Return whether a text is what is stored of a key under this name."""
    try:
        kept = json.loads(text)
        return bool(
            isinstance(kept["name"], str) and _SECRET.fullmatch(kept["secret"]) and _ID.fullmatch(name[len(PREFIX) :])
        )
    except (ValueError, TypeError, KeyError):
        return False


def accepted(known: ScopeSecrets) -> dict[str, str]:
    """Return the secret of each key that is good, by its id."""
    return {
        name.removeprefix(PREFIX): json.loads(value)["secret"]
        for name, value in known.items()
        if name.startswith(PREFIX)
    }


def session_keys(known: ScopeSecrets) -> list[str]:
    """Return what users' sessions are signed with: the keys that apps have, each as long as it is good itself."""
    tokens = [version.value for version in known.versions.get(names.ANON_KEY, ()) if not version.coming]
    return [*tokens, *(key.value for key in api_keys.keys_of(known) if key.type == "publishable")]
