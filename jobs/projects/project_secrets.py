"""What is random of a project: made when it is provisioned, and anew when it is rotated."""

from __future__ import annotations

import secrets as randomness
from typing import TYPE_CHECKING

from catalog import names
from infra.postgres.role_names import SHARED_ANON, SHARED_SERVICE
from infra.secrets import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Makers = Mapping[str, Callable[[dict[str, str]], str]]

RANDOM_BYTES = 32
# As long-lived as the keys of Supabase: they are compiled into apps. A rotation of the JWT secret revokes them.
KEY_LIFE_SECONDS = 10 * 365 * 24 * 3600
JWT_SECRET, DATABASE_PASSWORD = "jwtSecret", "databasePassword"
ROTATED = (DATABASE_PASSWORD, JWT_SECRET)


def secret_makers(project: str, now: int) -> Makers:
    """Return what makes each secret of a project, from those before it.

    now  the present in seconds of the epoch
    """
    return {
        **secret_makers_of(project, JWT_SECRET, now),
        **secret_makers_of(project, DATABASE_PASSWORD, now),
        **MAIL_KEY_MAKERS,
    }


def secret_makers_of(project: str, secret: str, now: int) -> Makers:
    """Return what makes the part of a project's secrets that is rotated under one name."""
    roles = names.roles(project)
    if secret == DATABASE_PASSWORD:
        return {names.password(login): _random for login in roles.logins}
    return {
        names.JWT_SECRET: _random,
        names.ANON_KEY: lambda known: _key(known, project, SHARED_ANON, roles.anon, now),
        names.SERVICE_KEY: lambda known: _key(known, project, SHARED_SERVICE, roles.service, now),
    }


def rotated_makers(project: str, secret: str, now: int) -> Makers:
    """Return what makes all that is made anew when this is rotated: the key of letters goes with the JWT secret.

    Both stand in the file by which Auth serves the project: who has read the one has read the other.
    """
    makers = secret_makers_of(project, secret, now)
    return {**makers, **MAIL_KEY_MAKERS} if secret == JWT_SECRET else makers


def _random(_known: dict[str, str]) -> str:
    return randomness.token_urlsafe(RANDOM_BYTES)


# Projects that are older than Auth get one when they are reconciled.
MAIL_KEY_MAKERS: Makers = {names.MAIL_KEY: _random}


def _key(known: dict[str, str], project: str, role: str, db_role: str, now: int) -> str:
    claims = {"iss": "launchdb", "ref": project, "role": role, "db_role": db_role, "iat": now}
    return tokens.sign_token({**claims, "exp": now + KEY_LIFE_SECONDS}, known[names.JWT_SECRET])
