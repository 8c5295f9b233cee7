"""auth.oauth_client_states: sign-ins for which a provider is to send somebody back, once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from infra.postgres.database import Transaction

SQL = statements(__file__)


@dataclass(frozen=True)
class OAuthState:
    """A row, without what the provider brings back: that is stored as its hash."""

    provider_type: str
    code_verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    flow_state_id: UUID
    created_at: datetime


def create(tx: Transaction, state: str, kept: OAuthState) -> None:
    """Keep what a sign-in is recognised by when the provider brings the state back."""
    tx.execute(SQL.create, {**asdict(kept), "state": _hash(state)})


def take(tx: Transaction, state: str) -> OAuthState | None:
    """Return what a state stands for, which is worth nothing from now on; None of an unknown one."""
    return tx.one(OAuthState, SQL.take, {"state": _hash(state)})


def _hash(state: str) -> bytes:
    return sha256(state.encode("utf-8", "replace")).digest()
