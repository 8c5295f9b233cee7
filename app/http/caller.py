"""Who asks: an owner, and what they showed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """An owner, with what they showed: `actor` is their id, or that of a personal token."""

    owner_id: str
    is_operator: bool
    actor: str
    session: str | None = None
    expires_at: float = float("inf")
