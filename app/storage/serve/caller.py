"""Who asks, and as which of the database's roles their statements run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.storage.errors import StorageError, access_denied

if TYPE_CHECKING:
    from collections.abc import Mapping

ANON, SERVICE = "anon", "service_role"


@dataclass(frozen=True)
class Caller:
    """One caller.

    role      the shared name of what they are: anon, authenticated or service_role
    db_role   the role of the project's database
    claims    of their token; {} for nobody
    is_known  whether they came with a token
    """

    role: str
    db_role: str
    claims: Mapping[str, Any] = field(default_factory=dict)
    is_known: bool = False

    @property
    def is_service(self) -> bool:
        """Whether row security does not apply to them."""
        return self.role == SERVICE

    @property
    def owner_id(self) -> str | None:
        """Whose what they make is: the subject of their token."""
        subject = self.claims.get("sub")
        return subject if isinstance(subject, str) and subject else None

    @property
    def claims_text(self) -> str:
        """The claims as policies read them."""
        return claims_text(self.claims, self.role)


def claims_text(claims: Mapping[str, Any], role: str) -> str:
    """Return claims as policies read them, with the shared name of the role. Raises StorageError."""
    text = json.dumps({**claims, "role": role}, separators=(",", ":"), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which Postgres cannot hold
        raise bad_token("claims are no text") from None
    if "\\u0000" in text:
        raise bad_token("claims hold a zero byte")
    return text


def caller_of(claims: Mapping[str, Any], roles: Mapping[str, str]) -> Caller:
    """Return the caller that verified claims stand for; roles: the database's by their shared names.

    Raises StorageError for a role that is none of the three.
    """
    named = claims.get("role", ANON)
    role = next((shared for shared, own in roles.items() if named in (shared, own)), None)
    if role is None:
        raise access_denied(f'role "{named}" is none that requests run as')
    return Caller(role, roles[role], claims, is_known=True)


def nobody(roles: Mapping[str, str]) -> Caller:
    """Return the caller who came without a token."""
    return Caller(ANON, roles[ANON])


def bad_token(why: str) -> StorageError:
    """Return the refusal of a token."""
    return access_denied(why)


def no_token() -> StorageError:
    """Return the refusal of a request without any token where one is needed."""
    return StorageError(400, "Error", "InvalidRequest", "headers must have required property 'authorization'")
