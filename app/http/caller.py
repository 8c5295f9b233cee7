"""Who asks: an owner, and what they showed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """An owner, with what they showed.

    actor   their id, or that of a personal token
    scopes  what that token was made for; None: they signed in themselves, and may all that they may
    """

    owner_id: str
    is_operator: bool
    actor: str
    session: str | None = None
    expires_at: float = float("inf")
    scopes: frozenset[str] | None = None
