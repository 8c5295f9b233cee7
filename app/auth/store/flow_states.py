"""auth.flow_state: sign-ins that are begun in one place and finished in another, by a link or at a provider."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from infra.postgres.database import Transaction

SQL = statements(__file__)


@dataclass(frozen=True)
class FlowState:
    """A row. authentication_method: which way in it was begun for, such as `magiclink` or `oauth`."""

    id: UUID
    user_id: UUID | None
    auth_code: str | None = field(repr=False)
    code_challenge_method: str | None
    code_challenge: str | None
    provider_type: str
    provider_access_token: str | None = field(repr=False)
    provider_refresh_token: str | None = field(repr=False)
    created_at: datetime
    updated_at: datetime
    authentication_method: str
    auth_code_issued_at: datetime | None
    invite_token: str | None = field(repr=False)
    referrer: str | None
    oauth_client_state_id: UUID | None
    linking_target_id: UUID | None
    email_optional: bool

    @property
    def begun(self) -> float:
        """When its code was made, in seconds of the epoch: a link may lie in a letter box for a while first."""
        return (self.auth_code_issued_at or self.created_at).timestamp()


def create(
    tx: Transaction,
    *,
    provider_type: str,
    authentication_method: str,
    now: float,
    challenge: tuple[str, str] | None = None,
    user_id: str | None = None,
    **more: Any,
) -> FlowState | None:
    """Begin a flow. None: the user named does not exist, which costs the same time and writes nothing.

    challenge  the code challenge and its method; with one, an auth code is made
    more       referrer, invite_token, linking_target, email_optional
    """
    text, method = challenge or (None, None)
    values = {"referrer": None, "invite_token": None, "linking_target": None, "email_optional": False, **more}
    named = {"user": user_id, "provider": provider_type, "authentication": authentication_method, "now": now}
    code = secrets.token_urlsafe(32) if challenge else None
    return tx.one(FlowState, SQL.create, {**values, **named, "code": code, "challenge": text, "method": method})


def find(tx: Transaction, flow_id: str) -> FlowState | None:
    """Return a flow by its id, and hold its row until the transaction ends."""
    return tx.one(FlowState, SQL.find, {"id": flow_id})


def issue_code(tx: Transaction, user_id: str, authentication_method: str, *, now: float) -> str | None:
    """Return the auth code of the newest flow that a user has begun this way, or None; its time begins now."""
    values = {"user": user_id, "authentication": authentication_method, "now": now}
    code: str | None = tx.value(SQL.issue, values)
    return code


def finish(
    tx: Transaction, flow_id: str, user_id: str, *, access_token: str | None, refresh_token: str | None, now: float
) -> str | None:
    """Note who has signed in at a provider, and its tokens; return the auth code, or None of a flow without one."""
    values = {"id": flow_id, "user": user_id, "access_token": access_token, "refresh_token": refresh_token, "now": now}
    code: str | None = tx.value(SQL.finish, values)
    return code


def by_code(tx: Transaction, code: str) -> FlowState | None:
    """Return the flow of an auth code whose user is known, and hold its row until the transaction ends."""
    return tx.one(FlowState, SQL.by_code, {"code": code})


def remove(tx: Transaction, flow_id: UUID) -> None:
    """Ensure that a flow is gone: its code is good for one session."""
    tx.execute(SQL.remove, {"id": flow_id})
