"""What goes out about owners: their sign-ins, and what operators see of them."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations

from app.http.answers import MeOut, ResponseBody


class SessionOut(ResponseBody):
    """A sign-in that goes on. current: the one that asks."""

    id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str
    current: bool


class SessionsOut(ResponseBody):
    """A page of sign-ins."""

    sessions: list[SessionOut]
    next_cursor: str | None


class OwnerForOperatorsOut(MeOut):
    """An owner as operators see them. maxProjects null: the installation's own quota; 0: any number."""

    max_projects: int | None
    projects: int


class OwnersOut(ResponseBody):
    """A page of owners."""

    owners: list[OwnerForOperatorsOut]
    next_cursor: str | None


class LinkOut(ResponseBody):
    """A link that works once. Token and link are in the first answer only."""

    email: str
    expires_at: datetime
    mailed: bool
    token: str | None = None
    link: str | None = None


class ResetAskedOut(ResponseBody):
    """The same answer whether the address is known or not."""

    detail: str
