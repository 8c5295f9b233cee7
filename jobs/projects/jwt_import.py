"""A JWT secret made elsewhere, with the API keys it signed: users stay signed in, and apps that were shipped work."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

from catalog import names, secrets
from infra.postgres.role_names import SHARED_ANON, SHARED_SERVICE
from infra.secrets import tokens
from jobs.projects import project_secrets

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from infra.secrets.vault import Vault

# A shorter one is guessed; the upper end is what a line of a file can hold.
SHORTEST, LONGEST = 32, 1024
SHARED_ROLES = {names.ANON_KEY: SHARED_ANON, names.SERVICE_KEY: SHARED_SERVICE}


class ImportRefused(Exception):
    """The secret or a key cannot be taken. pointer: the member of the request at fault."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


def check(project: str, secret: str, *, anon_key: str = "", service_key: str = "") -> dict[str, str]:
    """Return the secret and both keys by the names they are stored under; a key that is not given is made.

    Raises ImportRefused.
    """
    if not SHORTEST <= len(secret) <= LONGEST or not secret.isascii() or not secret.isprintable():
        raise ImportRefused("/secret", f"must be {SHORTEST} to {LONGEST} printable ASCII characters")
    if secret != secret.strip() or secret.startswith("{"):
        raise ImportRefused("/secret", "must be the text of an HS256 secret: no JWK, and no space around it")
    made = {names.JWT_SECRET: secret}
    for name, pointer, given in (
        (names.ANON_KEY, "/anonKey", anon_key),
        (names.SERVICE_KEY, "/serviceRoleKey", service_key),
    ):
        if given and not _is_good(project, name, given, secret):
            role = SHARED_ROLES[name]
            raise ImportRefused(pointer, f"must be a key of the role {role} that this secret signed, and not expired")
        makers = project_secrets.secret_makers_of(project, project_secrets.JWT_SECRET, int(time.time()))
        made[name] = given or makers[name](made)
    return made


def key_claims(project: str, name: str, key: str, secret: str) -> dict[str, Any] | None:
    """Return the claims of an API key of the project that the secret signed for the role of that name, or None."""
    roles = names.roles(project)
    own = {names.ANON_KEY: roles.anon, names.SERVICE_KEY: roles.service}[name]
    try:
        claims: dict[str, Any] = json.loads(tokens.signed_claims(key, tokens.verification_keys(secret))[0])
        fits = claims.get("role") == SHARED_ROLES[name] and claims.get("db_role", own) == own
    except (tokens.SignatureRefused, ValueError, AttributeError):
        return None
    return claims if fits else None


def _is_good(project: str, name: str, key: str, secret: str) -> bool:
    claims = key_claims(project, name, key, secret)
    ends = None if claims is None else claims.get("exp", math.inf)
    return isinstance(ends, int | float) and not isinstance(ends, bool) and ends > time.time()


def stage(tx: Transaction, vault: Vault, project: str, values: dict[str, str]) -> None:
    """Store them as what is coming, in the place of what a rotation that was given up has left."""
    known = secrets.read_all(tx, vault, project)
    for name, value in values.items():
        for version in known.versions.get(name, ()):
            if version.coming:
                secrets.delete_version(tx, project, name, version.number)
        secrets.put(tx, vault, project, name, value, coming=True)
