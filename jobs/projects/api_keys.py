"""A project's opaque API keys, of which each is made and revoked alone: hashes, kept among the project's secrets."""

from __future__ import annotations

import json
import re
import secrets as randomness
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from catalog import secrets
from catalog.ids import new_id
from infra.postgres.role_names import SHARED_ANON, SHARED_SERVICE
from infra.secrets.opaque_keys import PREFIX as FORM
from infra.secrets.opaque_keys import digest

if TYPE_CHECKING:
    from datetime import datetime

    from catalog.secrets import ScopeSecrets
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault

KeyType = Literal["publishable", "secret"]
PREFIX, RANDOM_BYTES, SHOWN = "api_key:", 24, 16
# Which role a key of each type stands for, by the name that users' SQL knows.
ROLES: dict[KeyType, str] = {"publishable": SHARED_ANON, "secret": SHARED_SERVICE}
MOST = 100
_DIGEST = re.compile(r"[0-9a-f]{64}")


class NoSuchApiKey(Exception):
    """The project has no API key of this id."""


class TooManyApiKeys(Exception):
    """The project has as many API keys as it may have."""


@dataclass(frozen=True)
class ApiKey:
    """One key as it may be shown. value: the key itself where it is no secret (publishable), or how it begins."""

    id: str
    name: str
    type: KeyType
    value: str
    created_at: datetime
    digest: str = field(repr=False)


def keys_of(known: ScopeSecrets) -> list[ApiKey]:
    """Return a project's API keys, the oldest first."""
    found = []
    for name, versions in sorted(known.versions.items()):
        if name.startswith(PREFIX):
            kept = json.loads(versions[0].value)
            of = (kept["name"], kept["type"], kept["value"], versions[0].created_at, kept["sha256"])
            found.append(ApiKey(name.removeprefix(PREFIX), *of))
    return found


def make(tx: Transaction, vault: Vault, project: str, *, name: str, key_type: KeyType) -> tuple[ApiKey, str]:
    """Store a new key; return it with its value, of which nothing but the hash is kept where it is secret.

    Raises TooManyApiKeys.
    """
    if len(keys_of(secrets.read_all(tx, vault, project))) >= MOST:
        raise TooManyApiKeys(f"a project has at most {MOST} API keys; revoke one first")
    value = f"{FORM}{key_type}_{randomness.token_urlsafe(RANDOM_BYTES)}"
    shown = value if key_type == "publishable" else value[:SHOWN] + "…"
    kept = {"name": name, "type": key_type, "value": shown, "sha256": digest(value)}
    key_id = new_id("key")
    secrets.put(tx, vault, project, PREFIX + key_id, json.dumps(kept))
    made = {key.id: key for key in keys_of(secrets.read_all(tx, vault, project))}[key_id]
    return made, value


def revoke(tx: Transaction, project: str, key_id: str) -> None:
    """Forget a key: nobody gets in by it once the project's services are told. Raises NoSuchApiKey."""
    if not secrets.delete(tx, project, PREFIX + key_id):
        raise NoSuchApiKey("there is no such API key")


def is_stored_key(text: str) -> bool:
    """Return whether a text is what is stored of a key."""
    try:
        kept = json.loads(text)
        shown = [kept["name"], kept["value"], kept["sha256"]]
        return (
            kept["type"] in ROLES and all(isinstance(each, str) for each in shown) and bool(_DIGEST.fullmatch(shown[2]))
        )
    except (ValueError, TypeError, KeyError):
        return False


def accepted(known: ScopeSecrets) -> tuple[str, ...]:
    """Return what those who check a key need to know of each: `role:hash`, as `digest` makes it."""
    return tuple(f"{ROLES[key.type]}:{key.digest}" for key in keys_of(known))
